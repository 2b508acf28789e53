// Refuses messages of sites that a lookup table does not have.
package main

import "lookups/sesame"

type plugin struct{}

func init() {
	sesame.Serve(&plugin{})
}

func main() {}

func (*plugin) Describe() sesame.Description {
	return sesame.Description{
		Name: "lookups", Version: "1", Summary: "Refuses messages of sites that a lookup table does not have.",
	}
}

func (*plugin) Init(sesame.Config) error {
	_, _, err := sesame.Lookup("sites", "")
	return err
}

func (*plugin) Validate(message *sesame.Message) ([]sesame.Finding, error) {
	for line := range message.Lines() {
		row, found, err := sesame.Lookup("sites", line)
		if err != nil {
			return nil, err
		}
		if found {
			country, _ := row.Find("country")
			return []sesame.Finding{sesame.Warning("site.country", country)}, nil
		}
		break
	}
	return []sesame.Finding{sesame.Error("site.unknown", "is not in the table")}, nil
}
