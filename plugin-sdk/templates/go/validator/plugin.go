// Refuses messages of sites that are not listed.
package main

import (
	"errors"
	"slices"
	"strings"

	"{{name}}/sesame"
)

type plugin struct {
	Sites []string
}

func init() {
	sesame.Serve(&plugin{})
}

func main() {}

func (plugin *plugin) Describe() sesame.Description {
	return sesame.Description{
		Name:    "{{name}}",
		Version: "0.1.0",
		Summary: "Refuses messages of sites that are not listed.",
		ConfigSchema: `{"type": "object", "required": ["sites"], "additionalProperties": false,
			"properties": {"sites": {"type": "array", "items": {"type": "string"}}}}`,
	}
}

func (plugin *plugin) Init(config sesame.Config) error {
	if err := config.Decode(plugin); err != nil {
		return err
	}
	if len(plugin.Sites) == 0 {
		return errors.New("list at least one site in `sites`")
	}
	return nil
}

// Validate returns findings; one of severity error makes the message invalid. Records end with a line `%%`.
func (plugin *plugin) Validate(message *sesame.Message) ([]sesame.Finding, error) {
	var findings []sesame.Finding
	record, named := uint32(1), false
	for line := range message.Lines() {
		if line == "%%" {
			record++
		}
		site, names := strings.CutPrefix(line, "Site: ")
		if !names {
			continue
		}
		named = true
		if !slices.Contains(plugin.Sites, site) {
			unknown := sesame.Error("site.unknown", "is not a listed site")
			findings = append(findings, unknown.InRecord(record).InField("Site", site))
		}
	}
	if !named {
		findings = append(findings, sesame.Error("site.missing", "no record names its site"))
	}
	return findings, nil
}
