// Package config turns the operator's text (TOML, or JSON with comments) into a configuration that the rest of the program can trust.
//
// It goes in two steps, each with a type of its own:
//
//	text ──Parse──> *File     what is written: TOML or JSON accepted, and the line of every key and array element known
//	File ──Check──> *Checked  what it means: every key known, in range, defaults filled in, files read, names looked up
//
// Neither step stops at the first problem: both return all of them, sorted by line, each with file, line and key. A syntax
// error is the exception, since nothing after it can be trusted. A Checked is only returned when no problem is an error.
//
// The key tables in keys.go and keys_upstream.go are the single list of what may be written. A row holds a key's name,
// range, default (as TOML text) and whether a reload applies it; messages, defaults, proxy.toml.example's test and the
// comparison at a reload all read these rows.
//
// A file in the form of the original secure-dns-proxy is translated into ours between the two steps (migration.go), and problems go on
// naming what is in the file; Migrate prints the translation.
//
// A Checked is immutable after Check and safe for concurrent use.
package config
