// Package ec2api is the EC2 edge: it turns Query requests into calls of the domains
// (importtask, snapshot, tag) and their results into AWS's XML. It decides nothing
// about imports; it knows the protocol and AWS's texts.
//
//	api.go        the edge: action and version, envelope
//	actions.go    the table of actions;  aws-actions.txt: those that AWS has
//	dispatch.go   the order of checks, once for all actions;  authorize.go: grants
//	rules.go      what a row of a request's validation table is
//	errors.go     domain errors → code, status, message
//	filter.go     Filter.N, wildcards; page.go: MaxResults, NextToken
//	import.go     ImportSnapshot;  tasks.go: Describe and Cancel
//	importimage.go, imagetasks.go: likewise of machine images
//	snapshots.go  Describe and Delete;  attribute.go: whom they are shared with
//	copy.go       CopySnapshot;  tiers.go: storage tiers
//	regions.go    regions, zones, what AWS says of accounts
//	defaults.go   EBS encryption by default;  images.go: machine images
//	imagecopy.go, imageattribute.go (and whom they are shared with), imagelife.go
//	volumes.go    volumes, and snapshots of them;  describevolumes.go, modifyvolume.go
//	tags.go       tags;  tagspec.go: tags of what is being created
//
// Wire structs stay in this package.
package ec2api
