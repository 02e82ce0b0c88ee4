// Package appliance assembles the product and operates it: it starts the parts in the order that privileges allow, reloads, drains, and
// keeps the operator informed. It is ordinary Go; nothing here is on the path of a query.
//
//	start    check the configuration -> bind all sockets -> drop root -> embedded server, names -> workers -> metrics, ready
//	SIGHUP   read and check the file -> keep what takes a restart -> hand the workers a new snapshot; any error changes nothing
//	SIGTERM  stop accepting -> answer what is in flight, within timeouts.drain -> exit 0; a second one exits at once with 1
//	fault    a worker died: exit 1, the service manager starts a whole process again
//
// Exit codes: 0 after a drain or a good check, 1 after a failure, 2 for a bad command line or configuration.
package appliance
