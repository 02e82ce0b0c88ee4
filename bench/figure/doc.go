// Package figure holds what a benchmark measured and the little arithmetic on it.
//
// A Sample is one turn of one program in one scenario: named numbers. A Series is the turns of one program in order; a turn
// that failed is nil, so that turn i of two programs always lie next to each other in time. Ratios are taken turn by turn
// and only then summed up: the machine's drift, which is larger than many differences here, cancels.
package figure
