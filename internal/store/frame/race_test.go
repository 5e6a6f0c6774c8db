//go:build race

package frame_test

// raceEnabled: pools drop at random under the race detector, so allocations
// are not counted.
const raceEnabled = true
