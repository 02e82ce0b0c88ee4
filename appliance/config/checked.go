package config

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/netip"
	"time"

	"secure-dns-proxy/appliance/blocks"
	"secure-dns-proxy/appliance/rpz"
	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/balance"
	"secure-dns-proxy/transport/health"
	"secure-dns-proxy/transport/trust"
	"secure-dns-proxy/worker"
	"secure-dns-proxy/worker/policy"
)

// Checked is a configuration in which every value has been found good. Defaults are filled in; proxy.toml.example says what
// each one means.
type Checked struct {
	File string // where it came from; "" = the embedded default

	Listen    []netip.AddrPort
	Upstreams []Upstream
	Policy    balance.Policy // of the default pool
	Fanout    int            // of the default pool
	Pools     []Pool         // at least 1; the first is DefaultPool
	Rules     []policy.Rule  // pools by number in Pools
	Sets      []Set          // by name
	Views     []worker.View  // by name; pools by number in Pools
	Caps      Caps
	Prewarm   bool
	User      *User  // nil = stay who we are
	Backend   string // "auto", "uring" or "mmsg"

	Workers    Workers
	Cache      Cache
	Timeouts   Timeouts
	Connection Connection
	QUIC       QUIC
	TCP        TCP
	UDP        UDP
	Admission  Admission
	Cookies    Cookies
	Limits     worker.Limits
	EDNS       EDNS
	ACL        ACL
	Blocks     blocks.Config
	RPZ        rpz.Config
	Inspect    Inspect
	TLS        TLS
	Addresses  Addresses
	Health     Health // of upstreams that say nothing else
	Bootstrap  Bootstrap
	Local      Local
	Requests   worker.Requests
	DNS64      DNS64
	Rebinding  Rebinding

	LoopInterval time.Duration           // between looks whether upstreams forward to us; 0 = none
	Hosts        map[string][]netip.Addr // by lower-case name without a final dot
	Logging      Logging
	Metrics      Metrics
	Control      Control

	// Of the file, for problems found when two Checked are compared.
	lines   lines
	origins map[string]string
}

// Upstream is one server that queries go to. Two with the same URL cannot be in one Checked.
type Upstream struct {
	URL    string // as written: the label in logs and metrics
	Scheme string // "udp", "tcp", "tls", "quic", "https", "h3" or "embedded"
	Host   string // lower-case name without a final dot, or an IP address without brackets; empty for embedded
	Port   uint16
	Path   string // https and h3 only: starts with "/", may be a URI template

	TLSName     string         // name to verify and to send as SNI; empty = Host
	CAFile      string         // with its effect in Roots
	Roots       *x509.CertPool // nil = the roots of the system
	InsecureTLS bool
	Addresses   []netip.Addr // where Host is: pinned, from [hosts], or Host itself; empty = ask the bootstrap servers
	Connections int          // per worker

	// As in Connection; nil = what Checked.Connection says.
	Padding       *int
	MaxQueries    *int
	MaxAge        *time.Duration
	EDNSKeepalive *bool
	FastOpen      *bool

	DialTimeout, IdleTimeout *time.Duration // nil = as in Checked.Timeouts

	DDR              string // one of DDROff, DDRUpgrade, DDRRequire
	DDROpportunistic bool   // RFC 9462 §4.3
	DDRDowngrade     bool   // back to plain DNS when the designated resolver is lost

	SNI                           string      // "" = VerifiedName, SNIOff = none
	Pins                          []trust.Pin // nil = none
	PinOnly                       bool        // Pins in place of certificate authorities
	ClientCertFile, ClientKeyFile string      // both or none
	ECHConfig                     []byte      // ECHConfigList; nil = from DNS

	// nil = as in Checked.TLS
	MinVersion, MaxVersion *uint16
	CipherSuites           *[]uint16
	Groups                 *[]tls.CurveID
	ECH                    *string
	Pools                  []string // names, at least 1
	Weight                 int
	MaxOutstanding         int // all workers; 0 = no cap

	// nil = as in Checked.QUIC
	QUICVersions   *[]transport.QUICVersion
	QUICEarlyData  *bool
	QUICMaxStreams *int
	QUICKeepAlive  *time.Duration

	Method string // https and h3: "get", "post", or "auto" for GET if Path is a template, else POST
	HTTP3  string // https: "off", "probe" or "only"

	Health Health        // that of [health] with the upstream's own changes; its Manual is State
	State  health.Manual // the operator's word

	own value // of the key health, until [health] has been read
}

// Whether a plain resolver is asked for an encrypted one beside it (RFC 9462).
const (
	DDROff     = "off"
	DDRUpgrade = "upgrade" // plain until one is found
	DDRRequire = "require" // unused until one is found
)

// Designates returns whether queries are to go to the resolver that u designates.
func (u *Upstream) Designates() bool { return u.DDR == DDRUpgrade || u.DDR == DDRRequire }

// Name returns whether Host is a name, not an address.
func (u *Upstream) Name() bool {
	_, err := netip.ParseAddr(u.Host)
	return err != nil && u.Scheme != "embedded"
}

// Encrypted returns whether TLS protects the queries.
func (u *Upstream) Encrypted() bool {
	return u.Scheme == "tls" || u.Scheme == "quic" || u.HTTP()
}

// HTTP returns whether queries go over HTTP, of any version.
func (u *Upstream) HTTP() bool { return u.Scheme == "https" || u.Scheme == "h3" }

// Health is how an upstream is judged and probed.
type Health struct {
	health.Config
	Timeout time.Duration // of a probe
	Jitter  int           // percent
	Name    string        // asked for by probes, without a final dot; "" = the root; a first label "*" stands for a random one
	Type    uint16
	RCodes  []int // that a good probe may be answered with
}

// User is whom root becomes once all sockets are bound.
type User struct {
	Name     string
	UID, GID int
	Groups   []int // supplementary, GID included
}

// Workers sizes the data plane. InFlight and Waiters are per worker.
type Workers struct {
	Count    int           // at least 1
	CPUs     []int         // empty = not pinned, else Count of them
	Steering string        // "auto", "cpu" or "hash"
	BusyPoll time.Duration // whole microseconds; 0 = off
	InFlight int
	Waiters  int
}

// Cache bounds the packet cache of all workers together. TTLs are whole seconds, those of failures whole milliseconds.
type Cache struct {
	Enabled        bool
	Bytes          int64
	MinTTL         time.Duration
	MaxTTL         time.Duration
	MinNegativeTTL time.Duration
	MaxNegativeTTL time.Duration
	Never          []string      // not kept, nor the names below; fully qualified, lower case
	Prefetch       int           // percent of a TTL; 0 = off
	PrefetchRate   int           // a second, all workers
	SharedPercent  int           // of Bytes, shared by the workers
	FailureTTL     time.Duration // the first time; 0 = failures are not remembered
	MaxFailureTTL  time.Duration
	MaxStale       time.Duration // past the TTL
	NXDomainCut    bool          // RFC 8020

	Persist         string        // file that keeps it over a restart; "" = off
	PersistInterval time.Duration // from one writing to the next; 0 = at the end only
	Remote          Remote
}

// Timeouts are explained in proxy.toml.example.
type Timeouts struct {
	Query, Upstream, Dial, Idle, Dead, Drain time.Duration
}

// Connection is how connections to upstreams are used, where the upstream itself says nothing else.
type Connection struct {
	Padding       int           // bytes, of encrypted ones; 0 = none
	MaxQueries    int           // 0 = no limit
	MaxAge        time.Duration // 0 = no limit
	EDNSKeepalive bool          // over tcp and tls
	FastOpen      bool          // over tcp, tls and https
}

// Dial returns how long a connection to u may take to open, and Idle how long one stays open unused, given what holds for all.
func (u *Upstream) Dial(all time.Duration) time.Duration { choose(&all, u.DialTimeout); return all }

// Idle: see Dial.
func (u *Upstream) Idle(all time.Duration) time.Duration { choose(&all, u.IdleTimeout); return all }

// Connection returns how the connections to u are used, given what holds for all.
func (u *Upstream) Connection(all Connection) Connection {
	choose(&all.Padding, u.Padding)
	choose(&all.MaxQueries, u.MaxQueries)
	choose(&all.MaxAge, u.MaxAge)
	choose(&all.EDNSKeepalive, u.EDNSKeepalive)
	choose(&all.FastOpen, u.FastOpen)
	return all
}

// choose puts own in place of what holds for all, if there is one.
func choose[V any](all, own *V) {
	if own != nil {
		*all = *own
	}
}

// TCP bounds what clients may hold over TCP.
type TCP struct {
	IdleTimeout             time.Duration
	MaxConnections          int // all workers
	MaxConnectionsPerClient int // per worker
	MaxInFlight             int // per connection
}

// UDP sizes the client side's datagrams and socket buffers.
type UDP struct {
	PayloadMax    uint16
	ReceiveBuffer int
}

// What an upstream's ech, or [tls] ech, may be.
const (
	ECHOff     = "off"
	ECHAuto    = "auto"    // where the upstream publishes it
	ECHRequire = "require" // or no connection
)

// TLS is how connections to encrypted upstreams are protected, where the upstream itself says nothing else.
type TLS struct {
	CAFile                 string
	Roots                  *x509.CertPool // nil = the roots of the system
	MinVersion, MaxVersion uint16         // tls.VersionTLS12 or tls.VersionTLS13
	CipherSuites           []uint16       // of TLS 1.2; nil = crypto/tls's own
	Groups                 []tls.CurveID  // not empty
	ECH                    string         // one of ECHOff, ECHAuto, ECHRequire
	KeyLogFile             string         // "" = none
	ExpiryWarning          time.Duration  // before a certificate's end; 0 = none
}

// TLS returns how connections to u are protected, given what holds for all.
func (u *Upstream) TLS(all TLS) TLS {
	if u.Roots != nil {
		all.CAFile, all.Roots = u.CAFile, u.Roots
	}
	choose(&all.MinVersion, u.MinVersion)
	choose(&all.MaxVersion, u.MaxVersion)
	choose(&all.CipherSuites, u.CipherSuites)
	choose(&all.Groups, u.Groups)
	choose(&all.ECH, u.ECH)
	return all
}

// VerifiedName is the name or address that u's certificate must be for.
func (u *Upstream) VerifiedName() string {
	if u.TLSName != "" {
		return u.TLSName
	}
	return u.Host
}

// Addresses says how a connection is made to an upstream that has several.
type Addresses struct {
	IPv4First    bool // of those that nothing is known of yet
	AttemptDelay time.Duration
}

// Bootstrap says how names in upstream URLs are resolved.
type Bootstrap struct {
	Servers          []Upstream // by address, of any scheme but embedded
	ThroughUpstreams bool       // once they serve, the upstreams are asked first
	Timeout          time.Duration
	RefreshThreshold time.Duration
	MinTTL           time.Duration
	FailureRetry     time.Duration
	JitterPercent    int
}

// Logging goes to stderr.
type Logging struct {
	Level  slog.Level
	Format string // "text" or "json"
}

// Metrics is the HTTP listener for /metrics. An invalid Listen means off.
type Metrics struct {
	Listen      netip.AddrPort
	AllowRemote bool
	Allow       []netip.Prefix // who may read it
}
