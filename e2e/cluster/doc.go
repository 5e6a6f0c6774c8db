// Package cluster runs many nodes on one machine: a PostgreSQL that is given, the program
// itself as the S3 that holds blocks and images, any number of nodes, and one address in
// front of them. It is what make cluster shows to people, and what the tests of many nodes
// hurt: nodes are killed and frozen, and each is cut off from what it depends on.
//
//	cluster.go  all of it          process.go  one run of the program
//	link.go     a cable that can   front.go    the one address
//	            be pulled
package cluster
