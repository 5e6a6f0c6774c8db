//go:build !profile

package main

// startProfile does nothing in the program that users get.
func startProfile() (stop func()) { return func() {} }
