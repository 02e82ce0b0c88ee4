// Package control is how operators talk to a running proxy: JSON over HTTP on a Unix socket, and the client of that.
//
//	GET  /v1/status            what is running             -> Status
//	GET  /v1/upstreams         whom it asks, how they are  -> []Upstream
//	GET  /v1/blocks            who is blocked              -> []Block
//	POST /v1/blocks/add, remove                             AddBlock, RemoveBlock -> BlockDone
//	GET  /v1/zones             response policy zones       -> []Zone
//	GET  /v1/zones/lookup      whom they are about         -> []ZoneHit
//	POST /v1/zones/refresh                                  RefreshZones -> ZonesRefreshed
//	GET  /v1/inspect           who inspects, where         -> Inspection
//	POST /v1/inspect/forget                                -> Inspection
//	POST /v1/...               a command that changes something; its arguments are a JSON object in the body
//
// Every answer is JSON: what the handler returned with 200, or {"error": "..."} with 4xx for a mistake of the caller and 5xx for one of
// ours. Whoever may write to the socket may give every command, unless Access says otherwise: then the user and groups of the calling process
// (SO_PEERCRED) decide, and others get 403. Each command that changes something is one line in the log, with the user and the process that gave it.
//
// What can be asked and commanded is not known here: packages that have something to offer add it with Server.Handle before Serve. Nothing
// here is on the way of a query.
package control
