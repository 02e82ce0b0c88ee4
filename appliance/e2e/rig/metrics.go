package rig

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Metrics are the series of one scrape, by name and labels as exposed: `queries_total{proto="udp"}`.
type Metrics map[string]float64

// metricsClient keeps no connection open, which would count among the proxy's descriptors.
var metricsClient = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// Scrape reads a metrics page.
func Scrape(tb testing.TB, url string) Metrics {
	tb.Helper()
	response, err := metricsClient.Get(url)
	if err != nil {
		tb.Fatalf("metrics: %v", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		tb.Fatalf("metrics: %s, %v", response.Status, err)
	}
	metrics := Metrics{}
	for line := range strings.Lines(string(body)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			tb.Fatalf("metrics: line %q: %v", line, err)
		}
		metrics[line[:at]] = value
	}
	return metrics
}

// Sum adds up the series of a name that have all the labels given, each as `name="value"`; no such series is an error of
// the test, since a misspelt name would sum to 0.
func (m Metrics) Sum(tb testing.TB, name string, labels ...string) float64 {
	tb.Helper()
	sum, found := 0.0, false
next:
	for series, value := range m {
		base, rest, _ := strings.Cut(series, "{")
		if base != name {
			continue
		}
		for _, label := range labels {
			if !strings.Contains("{"+rest, "{"+label) && !strings.Contains(rest, ","+label) {
				continue next
			}
		}
		sum, found = sum+value, true
	}
	if !found {
		tb.Errorf("no metric %s with %v", name, labels)
	}
	return sum
}

// Values are the series of a name, by their labels.
func (m Metrics) Values(name string) map[string]float64 {
	values := map[string]float64{}
	for series, value := range m {
		if base, rest, _ := strings.Cut(series, "{"); base == name {
			values[strings.TrimSuffix(rest, "}")] = value
		}
	}
	return values
}

// Delta is what the series grew by since before.
func (m Metrics) Delta(before Metrics) Metrics {
	delta := Metrics{}
	for series, value := range m {
		delta[series] = value - before[series]
	}
	return delta
}
