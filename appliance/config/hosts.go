package config

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
)

func readHosts(c *checker, t *Checked, v value) {
	table, ok := v.data.(map[string]any)
	if !ok {
		c.fault(v, "must be a table, written [hosts], not %s", v.kind())
		return
	}
	t.Hosts = map[string][]netip.Addr{}
	for _, name := range slices.Sorted(maps.Keys(table)) {
		entry := v.field(name, table[name])
		if _, deeper := table[name].(map[string]any); deeper {
			c.fault(entry, `is a table: a name with dots must be quoted, for example "dns.example" = "192.0.2.1"`)
			continue
		}
		host := strings.TrimSuffix(strings.ToLower(name), ".")
		if !hostName(host) {
			c.fault(entry, "%q is not a host name", name)
			continue
		}
		addrs := c.addresses(entry)
		if items, isList := entry.list(); isList && len(items) == 0 {
			c.fault(entry, "is empty: at least one address is needed")
		}
		if _, twice := t.Hosts[host]; twice {
			c.fault(entry, "%q is already in the table", host)
			continue
		}
		t.Hosts[host] = addrs
	}
}

// locate gives every upstream its fixed addresses, or makes sure that a bootstrap server can be asked for them.
func (c *checker) locate(out *Checked) {
	if c.written("upstream").line == 0 {
		c.fault(c.written("upstream"), `is missing: write for example upstream = "tls://192.0.2.1", or "embedded:" to try the program out`)
	}
	used := map[string]bool{}
	for i := range out.Upstreams {
		u := &out.Upstreams[i]
		if !u.Name() {
			if a, err := netip.ParseAddr(u.Host); err == nil {
				u.Addresses = []netip.Addr{a}
			}
			continue
		}
		used[u.Host] = true
		if len(u.Addresses) > 0 {
			continue
		}
		addrs, listed := out.Hosts[u.Host]
		u.Addresses = addrs
		if !listed && len(out.Bootstrap.Servers) == 0 {
			c.fault(c.whereIs(u), "%s: nothing says where %q is: add it to [hosts], give the upstream addresses = [...], or set bootstrap.servers", u.URL, u.Host)
		}
	}
	for _, host := range slices.Sorted(maps.Keys(out.Hosts)) {
		if !used[host] {
			c.warn(c.hostsEntry(host), "no upstream has this name: the entry has no effect")
		}
	}
}

// whereIs finds the URL of an upstream that was read without a problem in the file again.
func (c *checker) whereIs(u *Upstream) value {
	entry := c.entryOf(u)
	if _, isTable := entry.data.(map[string]any); isTable {
		return entry.field("url", u.URL)
	}
	return entry
}

// entryOf finds the entry, a URL or a table.
func (c *checker) entryOf(u *Upstream) value {
	v := c.file.value("upstream", c.file.tree["upstream"])
	items, ok := v.list()
	if !ok {
		return v
	}
	for _, item := range items {
		if item.data == u.URL {
			return item
		}
		if table, isTable := item.data.(map[string]any); isTable && table["url"] == u.URL {
			return item
		}
	}
	return v
}

func (c *checker) hostsEntry(host string) value {
	table, _ := c.file.tree["hosts"].(map[string]any)
	for name := range table {
		if strings.TrimSuffix(strings.ToLower(name), ".") == host {
			return c.file.value(joinKey("hosts", name), nil)
		}
	}
	return c.written("hosts")
}
