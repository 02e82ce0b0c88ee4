// Package persist keeps records in a file over a restart, such that a file that was not written to its end, or was damaged since, is noticed and
// never read past the damage. It knows nothing of what is in a record.
//
//	header   magic "SDPCACHE" (8) | version (4) | length of the rest of the header (4) | CRC of the rest (4) |
//	         written at, ns since 1970 (8) | names (2), each: length (1) and text
//	record   length (4) | CRC-32C (4) | bytes
//	trailer  length 0xFFFFFFFF (4) | CRC of the rest (4) | records in the file (8)
//
// Numbers are little-endian. The CRC of a record is over its length as well, so that a damaged length is noticed.
//
// A Writer writes beside the file, syncs, and renames when all is there: whoever is killed meanwhile leaves the old file as it was. A file of a
// version that is not known, or of another kind, is read not at all.
package persist
