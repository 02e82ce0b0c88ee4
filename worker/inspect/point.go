package inspect

// Point is where on a query's way an inspector looks.
type Point uint8

// The values are those of WebAssembly modules.
const (
	AtMiss     Point = iota // a question that is about to be asked of an upstream
	AtQuery                 // every query, before the cache is looked into
	AtResponse              // an answer that has come, before it is kept and given to anybody

	// Points is how many there are.
	Points = iota
)

// PointNames are the names used in the configuration and in metrics, by value.
var PointNames = [Points]string{"miss", "query", "response"}
