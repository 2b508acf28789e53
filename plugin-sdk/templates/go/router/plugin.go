// Sends messages of listed sites to a route of their own.
package main

import (
	"errors"
	"slices"
	"strings"

	"{{name}}/sesame"
)

type plugin struct {
	Sites []string
	// Name of the route.
	To string `json:"route"`
}

func init() {
	sesame.Serve(&plugin{})
}

func main() {}

func (plugin *plugin) Describe() sesame.Description {
	return sesame.Description{
		Name:    "{{name}}",
		Version: "0.1.0",
		Summary: "Sends messages of listed sites to a route of their own.",
		ConfigSchema: `{"type": "object", "required": ["sites", "route"], "additionalProperties": false,
			"properties": {"sites": {"type": "array", "items": {"type": "string"}}, "route": {"type": "string"}}}`,
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

// Route returns no name for the default route.
func (plugin *plugin) Route(message *sesame.Message) ([]string, error) {
	named := false
	for line := range message.Lines() {
		site, names := strings.CutPrefix(line, "Site: ")
		if !names {
			continue
		}
		named = true
		if !slices.Contains(plugin.Sites, site) {
			return nil, nil
		}
	}
	if !named {
		return nil, nil
	}
	return []string{plugin.To}, nil
}
