package transport

import (
	"strings"
	"testing"
)

// TestParseResource: RFC 8484 §4.1, with the templates of §4.1.1 and those that RFC 6570 lets one write for the same.
func TestParseResource(t *testing.T) {
	for _, test := range []struct {
		text, post, get string
		problem         string // part of it
	}{
		{"/dns-query", "/dns-query", "/dns-query?dns=AAAB", ""},
		{"/", "/", "/?dns=AAAB", ""},
		{"/dns-query?via=test", "/dns-query?via=test", "/dns-query?via=test&dns=AAAB", ""},
		{"/a%20b", "/a%20b", "/a%20b?dns=AAAB", ""},
		{"/dns-query{?dns}", "/dns-query", "/dns-query?dns=AAAB", ""},
		{"/{?dns}", "/", "/?dns=AAAB", ""},
		{"/q?ct=1{&dns}", "/q?ct=1", "/q?ct=1&dns=AAAB", ""},
		{"/q{/dns}", "/q", "/q/AAAB", ""},
		{"/q/{dns}/end", "/q//end", "/q/AAAB/end", ""},
		{"/q/{+dns}", "/q/", "/q/AAAB", ""},

		{"dns-query", "", "", "not absolute"},
		{"", "", "", "not absolute"},
		{"//host/dns-query", "", "", "not absolute"},
		{"/dns-query{?dns", "", "", "not a URI template"},
		{"/dns-query{?}", "", "", "not a URI template"},
		{"/dns-query}", "", "", "not a URI template"},
		{"/dns-query{?name}", "", "", "one variable"},
		{"/dns-query{?dns,ct}", "", "", "one variable"},
		{"/{ct}/dns-query", "", "", "one variable"},
		{"/{dns}{?dns}", "", "", "one variable"},
		{"/dns-query{?dns:3}", "", "", "one variable"},
		{"/dns-query{#dns}", "", "", "fragment"},
		{"/dns-query#x", "", "", "fragment"},
		{"/dns query", "", "", "not"},
		{"/d\u00e9", "", "", "not fit"},
		{"/dns%2", "", "", "not"},
	} {
		t.Run(test.text, func(t *testing.T) {
			r, err := ParseResource(test.text)
			if test.problem != "" {
				if err == nil || !strings.Contains(err.Error(), test.problem) {
					t.Errorf("got %+v, %v; want an error with %q", r, err, test.problem)
				}
				return
			}
			if err != nil || r.Post != test.post || r.Get([]byte("AAAB")) != test.get || r.Template != strings.Contains(test.text, "{") {
				t.Errorf("got %+v, GET %s, %v; want POST %s, GET %s", r, r.Get([]byte("AAAB")), err, test.post, test.get)
			}
		})
	}
}
