package config

import "secure-dns-proxy/worker"

// requestsKeys are the keys of [requests].
var requestsKeys = []key[worker.Requests]{
	refusalKey("notify", func(r *worker.Requests) *worker.Treatment { return &r.Notify }),
	refusalKey("update", func(r *worker.Requests) *worker.Treatment { return &r.Update }),
	refusalKey("opcodes", func(r *worker.Requests) *worker.Treatment { return &r.Opcodes }),
	refusalKey("transfers", func(r *worker.Requests) *worker.Treatment { return &r.Transfers }),
	choiceKey("classes", "refused", append(refusals, choice[worker.Treatment]{"forward", worker.Forwarded}),
		func(r *worker.Requests) *worker.Treatment { return &r.Classes }).reload(),
}

// refusals are the ways not to serve a request.
var refusals = []choice[worker.Treatment]{{"notimp", worker.NotImplemented}, {"refused", worker.Refused}}

// refusalKey says how requests of a kind are refused.
func refusalKey(name string, at func(*worker.Requests) *worker.Treatment) key[worker.Requests] {
	return choiceKey(name, "notimp", refusals, at).reload()
}
