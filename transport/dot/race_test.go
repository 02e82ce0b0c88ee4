//go:build race

package dot

const raceDetector = true
