// Does what the message says, in every role: for the tests of the helper.
package main

import (
	"errors"
	"fmt"
	"log"
	"slices"
	"strings"
	"time"

	"sites/sesame"
)

type plugin struct{}

func init() {
	sesame.Serve(plugin{})
}

func main() {}

func (plugin) Describe() sesame.Description {
	return sesame.Description{Name: "obedient", Version: "0.1.0", Summary: "Does what the message says."}
}

func (plugin) Init(config sesame.Config) error {
	var read struct {
		Text   string
		Number float64
		Flag   bool
		Mixed  []any
		Nested struct {
			List [][]int
			None map[string]any
			Text string
		}
	}
	if err := config.Decode(&read); err != nil {
		return err
	}
	if read.Text != "é😀\"\n\t\x01" || read.Number != -2.5 || !read.Flag || read.Mixed[1] != 1.0 ||
		len(read.Nested.List) != 2 || read.Nested.Text != "}" {
		return fmt.Errorf("the configuration is not what was written: %v", read)
	}
	return nil
}

func says(message *sesame.Message, word string) bool {
	for line := range message.Lines() {
		return line == word
	}
	return false
}

func (plugin) Validate(message *sesame.Message) ([]sesame.Finding, error) {
	switch {
	case says(message, "give up"):
		panic("out of cheese")
	case says(message, "overflow"):
		return nil, errors.New(string(message.Payload[len(message.Payload)]))
	case says(message, "error"):
		return nil, errors.New("out of cheese")
	case says(message, "later"):
		return nil, &sesame.Retry{After: 5 * time.Second, Reason: "not yet"}
	case says(message, "warn"):
		log.Printf("odd: %d", 1)
		return []sesame.Finding{sesame.Warning("x.odd", "is odd")}, nil
	case says(message, "invalid"):
		return []sesame.Finding{sesame.Error("x.bad", "is bad").InRecord(3).InField("F", "größer")}, nil
	}
	return nil, nil
}

func (plugin) Transform(message *sesame.Message) (sesame.Transformed, error) {
	switch {
	case says(message, "replace"):
		headers := sesame.Properties{{Name: "x-kind", Value: "new"}}
		output := sesame.Output{Payload: []byte("größer\n"), ContentType: "text/x-new", Headers: headers}
		return sesame.Transformed{Replace: &output}, nil
	case says(message, "split"):
		one := sesame.Part{Output: sesame.Output{Payload: []byte("one")}}
		two := sesame.Part{Output: sesame.Output{Payload: []byte("two")}}
		two.Refused = []sesame.Finding{sesame.Error("x.part", "is bad")}
		note := []sesame.Finding{sesame.Info("x.note", "in two")}
		return sesame.Transformed{Split: []sesame.Part{one, two}, Findings: note}, nil
	case says(message, "drop"):
		unwanted := sesame.Info("x.unwanted", "is not wanted")
		return sesame.Transformed{Drop: &unwanted}, nil
	}
	return sesame.Transformed{}, nil
}

// isTyped says whether what the types say of a message is so.
func isTyped(context sesame.Context) bool {
	signer := context.Signer
	_, limited := context.Properties.Find("max-payload-bytes")
	plain := context.ReceivedAt.UnixMilli() == 1767225600000 && context.Attempt == 1 && context.ContentType == ""
	signed := signer != nil && signer.NotAfter.Unix() == 1798761600 && signer.Serial == "01"
	named := strings.HasPrefix(context.Channel, "test") && len(context.TransportHeaders) == 0
	return plain && signed && named && limited && context.Direction == sesame.Inbound
}

func (plugin) Route(message *sesame.Message) ([]string, error) {
	if !says(message, "route") || !isTyped(message.Context) {
		return nil, nil
	}
	return slices.Collect(func(yield func(string) bool) {
		_ = yield("cloud") && yield("default")
	}), nil
}
