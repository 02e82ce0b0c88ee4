// Package proc reads from /proc what a process has used, and what machine this is.
package proc
