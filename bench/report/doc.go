// Package report keeps what a benchmark measured and says what it means: the bars as named criteria, a table for the
// terminal, JSON, a plot, and a fragment of README.md.
//
// A bar is a number that no report changes: a criterion is met, missed with its distance, or not measured with the reason.
package report
