package ebsapi

import "github.com/diskport/diskport/internal/quota"

// blockFactor is how many requests for blocks may come for each other one: a block
// is 512 KiB only, and clients read thousands.
const blockFactor = 50

// Rates makes the rate of each action from that of ordinary ones.
func Rates(ordinary quota.Rate) func(action string) quota.Rate {
	return func(action string) quota.Rate {
		if action == "GetSnapshotBlock" || action == "PutSnapshotBlock" {
			return quota.Rate{PerSecond: blockFactor * ordinary.PerSecond, Burst: blockFactor * ordinary.Burst}
		}
		return ordinary
	}
}

// awsBlocks is AWS's quota of blocks a second, of an account and of a snapshot.
const awsBlocks = 1000

// AWSRates are AWS's quotas for an account; burst is for how many seconds' worth of
// requests it may ask at once.
func AWSRates(burst float64) func(action string) quota.Rate {
	perSecond := map[string]float64{
		"StartSnapshot": 10, "CompleteSnapshot": 10, "ListSnapshotBlocks": 50, "ListChangedBlocks": 50,
		"GetSnapshotBlock": awsBlocks, "PutSnapshotBlock": awsBlocks,
	}
	return func(action string) quota.Rate {
		return quota.Rate{PerSecond: perSecond[action], Burst: burst * perSecond[action]}
	}
}

// AWSSnapshotRates are AWS's quotas for one snapshot.
func AWSSnapshotRates(burst float64) func(action string) quota.Rate {
	return quota.Same(quota.Rate{PerSecond: awsBlocks, Burst: burst * awsBlocks})
}
