//go:build race

package limit

const raceDetector = true
