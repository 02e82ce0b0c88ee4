package transport

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/yosida95/uritemplate/v3"
)

// Resource is what follows the host in an https upstream's URL, ready for use: where queries go by POST and by GET (RFC 8484 §4.1).
type Resource struct {
	Post           string // request target of POST: the template without its variable
	Template       bool   // it was written as a URI template
	prefix, suffix string // request target of GET, around the query
}

// Get returns the request target that asks for query, which is in base64url without padding.
func (r *Resource) Get(query []byte) string {
	return r.prefix + string(query) + r.suffix
}

// templateMark stands for the query while a template is expanded. It needs no escapes, and nobody writes it.
const templateMark = "the-message.goes_here~"

var (
	errTemplateVariable = errors.New(`a template has one variable, "dns", once and whole: write {?dns}, or {&dns} after a query (RFC 8484 §4.1.1)`)
	errFragment         = errors.New("a fragment (#) is not part of a request")
)

// ParseResource reads a path, perhaps with a query, that may be a URI template of any level of RFC 6570 with the one variable "dns". Without
// one, GET adds the parameter "dns" to it.
func ParseResource(text string) (Resource, error) {
	if !strings.HasPrefix(text, "/") || strings.HasPrefix(text, "//") {
		return Resource{}, fmt.Errorf("path %q is not absolute", text)
	}
	template, err := uritemplate.New(text)
	if err != nil {
		return Resource{}, fmt.Errorf("path %q: not a URI template: %w", text, err)
	}
	names := template.Varnames()
	if len(names) == 0 {
		joint := "?dns="
		if strings.Contains(text, "?") {
			joint = "&dns="
		}
		return checked(Resource{Post: text, prefix: text + joint})
	}
	post, err := template.Expand(nil)
	if err != nil {
		return Resource{}, fmt.Errorf("path %q: %w", text, err)
	}
	get, err := template.Expand(uritemplate.Values{"dns": uritemplate.String(templateMark)})
	if err != nil {
		return Resource{}, fmt.Errorf("path %q: %w", text, err)
	}
	parts := strings.Split(get, templateMark)
	if len(names) != 1 || names[0] != "dns" || len(parts) != 2 {
		return Resource{}, errTemplateVariable
	}
	return checked(Resource{Post: post, Template: true, prefix: parts[0], suffix: parts[1]})
}

// checked refuses what cannot be a request target.
func checked(r Resource) (Resource, error) {
	for _, target := range []string{r.Post, r.Get(nil)} {
		if strings.Contains(target, "#") {
			return Resource{}, errFragment
		}
		if _, err := url.ParseRequestURI(target); err != nil || strings.ContainsFunc(target, unprintable) {
			return Resource{}, fmt.Errorf("path %q: not fit for a request", target)
		}
	}
	return r, nil
}

func unprintable(r rune) bool { return r <= ' ' || r >= 0x7f }
