// Package tally counts what a load run saw, and makes the report of it.
//
// Counts belongs to one sender and is plain memory; senders are summed when they have ended. A Live is what a sender shows
// while it runs.
package tally
