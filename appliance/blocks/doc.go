// Package blocks decides who is blocked, and which names, from what the workers count (worker/census), and keeps the list: what rules have found,
// and what operators have put there by hand.
//
//	census.Tally ──> Second ──> judge (pure: rates over windows, rules, findings) ──> Keeper (list, expiry, log) ──> block.Table ──> workers
//
// Once a second a goroutine of its own takes what was counted; nothing here is on the way of a query. All rates are averages over a rule's
// window that weigh what is recent more (each second keeps a share of exp(-1s/window) of the last): a steady rate of twice the threshold is
// found after 0.7 windows, one of ten times the threshold after a tenth of one.
package blocks
