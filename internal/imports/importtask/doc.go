// Package importtask is the heart of the service: the import task, its state
// machine, the service that accepts, shows and cancels tasks, and the engine that
// does their units of work.
//
// A task goes through plan → ranges → publish, each a unit of work under a lease
// (package work). An import of a machine image is a task of its own, with one for each
// of its disks; they are planned and ingested one by one, and published together.
// Everything that changes a task is an event of Store, one transaction each.
package importtask
