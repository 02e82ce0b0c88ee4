package config

import (
	"slices"
	"strings"

	"secure-dns-proxy/worker"
)

// requestsKeys are the keys of [requests].
var requestsKeys = []key[worker.Requests]{
	courseKey("notify", worker.RequestNotify, refusals),
	courseKey("update", worker.RequestUpdate, refusals),
	courseKey("opcodes", worker.RequestOpcode, refusals),
	courseKey("transfers", worker.RequestTransfer, refusals),
	courseKey("signed", worker.RequestSigned, append([]choice[worker.Treatment]{{"notauth", worker.NotAuthorized}}, refusals...)),
	choiceKey("classes", "refused", append(slices.Clip(refusals), choice[worker.Treatment]{"forward", worker.Forwarded}),
		func(r *worker.Requests) *worker.Treatment { return &r.Classes }).reload(),
}

// refusals are the ways not to serve a request.
var refusals = []choice[worker.Treatment]{{"notimp", worker.NotImplemented}, {"refused", worker.Refused}}

// poolPrefix stands before the name of a pool.
const poolPrefix = "pool:"

// courseKey says how requests of a kind are refused, or whom they are forwarded to; the first refusal is the default.
func courseKey(name string, kind worker.RequestKind, refusals []choice[worker.Treatment]) key[worker.Requests] {
	bounds := ""
	for _, r := range refusals {
		bounds += `"` + r.text + `", `
	}
	bounds += `"forward" or "` + poolPrefix + `NAME"`
	return key[worker.Requests]{
		name: name, standard: `"` + refusals[0].text + `"`, bounds: bounds,
		get: func(r *worker.Requests) any { return &r.Kinds[kind] },
		read: func(c *checker, r *worker.Requests, v value) {
			text, ok := c.text(v)
			if !ok {
				return
			}
			course := worker.Course{Treatment: worker.Forwarded}
			at := slices.IndexFunc(refusals, func(r choice[worker.Treatment]) bool { return r.text == text })
			pool, named := strings.CutPrefix(text, poolPrefix)
			switch {
			case at >= 0:
				course.Treatment = refusals[at].means
			case named && labelText(pool):
				course.Pool = pool
			case text != "forward":
				c.fault(v, "%q is not one of %s", text, bounds)
				return
			}
			r.Kinds[kind] = course
		},
	}.reload()
}

// courses checks the pools that [requests] names: they are known now.
func (c *checker) courses(out *Checked) {
	for kind, k := range requestsKeys[:worker.RequestKinds] {
		course := out.Requests.Kinds[kind]
		if course.Treatment != worker.Forwarded {
			continue
		}
		v := c.written("requests." + k.name)
		transfers := worker.RequestKind(kind) == worker.RequestTransfer
		switch {
		case course.Pool == "":
			if transfers && !slices.ContainsFunc(out.Upstreams, func(u Upstream) bool { return !u.HTTP() }) {
				c.fault(v, "transfers cannot go to https upstreams, and there are no others")
			}
		case !slices.ContainsFunc(out.Pools, func(p Pool) bool { return p.Name == course.Pool }):
			c.fault(v, "pool %q is not there: write a table [pool.%s]", course.Pool, course.Pool)
		default:
			c.poolsUsed[course.Pool] = true
			if transfers && !slices.ContainsFunc(out.Upstreams, func(u Upstream) bool { return !u.HTTP() && slices.Contains(u.Pools, course.Pool) }) {
				c.fault(v, "transfers cannot go to pool %q: all its upstreams are https", course.Pool)
			}
		}
	}
}
