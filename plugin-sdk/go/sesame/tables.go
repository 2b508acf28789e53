package sesame

// Row is a row of a lookup table: the columns with their values, in the order of the file. Find returns one.
type Row = Properties

// Lookup returns the row with this key of a table of the operator, and whether there is one. The operator grants tables in
// the sidecar, such as tables = ["sites"]; the error is a sentence for the operator if this one is not granted. Look something
// up in Init, and the operator sees at once what is missing.
func Lookup(table, key string) (Row, bool, error) {
	return lookup(table, key)
}
