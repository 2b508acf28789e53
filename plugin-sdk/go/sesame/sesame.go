// Package sesame is the contract of Sesame for a plugin written in Go. Start at [Serve] and [Plugin], which say what a
// plugin is; everything else is called by it.
//
// Texts are UTF-8. An instance ends with its message: what a plugin keeps is gone at the next one.
package sesame

import (
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"time"
)

// Plugin is what every plugin is, beside the interface of each role that wit/world.wit exports: [Validator],
// [Transformer], [Router].
type Plugin interface {
	// Describe says what the plugin is. It is called without a configuration.
	Describe() Description
	// Init takes the operator's [config]. An error is a sentence for the operator about what is wrong with it.
	Init(config Config) error
}

// Validator accepts or refuses a message. A finding of severity error makes it invalid.
//
// An error that a function of a role returns is a failure of the plugin, for which the operator's on-error applies, unless
// it is a [Retry]. So is a panic.
type Validator interface {
	Validate(message *Message) ([]Finding, error)
}

// Transformer changes, splits or drops a message.
type Transformer interface {
	Transform(message *Message) (Transformed, error)
}

// Router chooses the destination of a message: the names of routes, or none for the default route.
type Router interface {
	Route(message *Message) ([]string, error)
}

// World is a plugin with the roles of wit/world.wit, which `sesame plugin build` passes on as build tags.
type World interface {
	Plugin
	validatorOfTheWorld
	transformerOfTheWorld
	routerOfTheWorld
}

var served World

// Serve makes the component's functions of the plugin's. Call it in init; main is never run.
func Serve(plugin World) {
	served = plugin
}

// Description is what an operator reads about a plugin.
type Description struct {
	Name, Version, Summary string
	// ConfigSchema is the JSON Schema of [config], which the host checks before Init; none if it is empty.
	ConfigSchema string
}

// Config is the operator's [config], a JSON object.
type Config []byte

// Decode stores the configuration in a value as [json.Unmarshal] does.
func (config Config) Decode(value any) error {
	return json.Unmarshal(config, value)
}

// Message is a message with its context.
type Message struct {
	Context Context
	Payload []byte
}

// Lines are the lines of the payload, without their ends.
func (message *Message) Lines() iter.Seq[string] {
	return func(yield func(string) bool) {
		for line := range strings.Lines(string(message.Payload)) {
			line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
			if !yield(line) {
				return
			}
		}
	}
}

// Direction is the way of a message.
type Direction uint8

const (
	// Outbound is before signing and encryption.
	Outbound Direction = iota
	// Inbound is after decryption, verification and authorisation of the signer.
	Inbound
)

// Context is what is known of a message.
type Context struct {
	Direction Direction
	// MessageID is the same on every attempt; in a part of a split, that of the whole message.
	MessageID, Channel, Destination string
	// ContentType is empty where none is known.
	ContentType string
	// Signer is nil when outbound.
	Signer *Signer
	// ReceivedAt is when the message was first accepted, the same on every attempt. Use it as the current time.
	ReceivedAt time.Time
	// Attempt counts from 1.
	Attempt uint32
	// TransportHeaders are in order, repeated ones included, and not covered by the signature.
	TransportHeaders Properties
	Properties       Properties
}

// Signer is the verified signer of an inbound message.
type Signer struct {
	// Subject and Issuer are DNs as in RFC 4514; Serial is lower-case hexadecimal.
	Subject, Issuer, Serial string
	// NotAfter is the end of the certificate's validity.
	NotAfter time.Time
	// Certificate is DER.
	Certificate []byte
	Properties  Properties
}

// Property is a name with its value.
type Property struct {
	Name, Value string
}

// Properties are in order.
type Properties []Property

// Find returns the value of the first property of this name, and whether there is one.
func (properties Properties) Find(name string) (string, bool) {
	for _, property := range properties {
		if property.Name == name {
			return property.Value, true
		}
	}
	return "", false
}

// Severity is how serious a finding is.
type Severity uint8

const (
	SeverityError Severity = iota
	SeverityWarning
	SeverityInfo
)

// Finding is one thing that a plugin found in a message, for the operator who must act on it.
type Finding struct {
	Severity Severity
	// Code is stable and machine-readable, such as "job.negative-wall-duration".
	Code string
	// Text is a sentence without content of the message.
	Text string
	// Record is counted from 1; 0 is none.
	Record uint32
	// Field and Value are nil where there is none.
	Field, Value *string
}

// Error is a finding that makes a message invalid.
func Error(code, text string) Finding {
	return Finding{Severity: SeverityError, Code: code, Text: text}
}

// Warning is a finding that is logged.
func Warning(code, text string) Finding {
	return Finding{Severity: SeverityWarning, Code: code, Text: text}
}

// Info is a finding that is logged.
func Info(code, text string) Finding {
	return Finding{Severity: SeverityInfo, Code: code, Text: text}
}

// InRecord names the record, counted from 1.
func (finding Finding) InRecord(number uint32) Finding {
	finding.Record = number
	return finding
}

// InField names the field and its content, which the host stores only with the message.
func (finding Finding) InField(field, value string) Finding {
	finding.Field, finding.Value = &field, &value
	return finding
}

// Retry is the error of a function that cannot decide on a message yet, as it is, as a pointer or wrapped: the message is
// tried again after at least After.
type Retry struct {
	After  time.Duration
	Reason string
}

func (retry Retry) Error() string {
	return retry.Reason
}

// retryOf returns the Retry in an error, given as it is or by a pointer.
func retryOf(err error) (Retry, bool) {
	var pointer *Retry
	if errors.As(err, &pointer) && pointer != nil {
		return *pointer, true
	}
	var retry Retry
	return retry, errors.As(err, &retry)
}

// Transformed is what becomes of a message: the first of Replace, Split and Drop that is set, or nothing.
type Transformed struct {
	Replace *Output
	// Split are several messages that replace one.
	Split []Part
	// Drop discards the message.
	Drop *Finding
	// Findings are logged like those of a validator; one of severity error makes the message invalid.
	Findings []Finding
}

// Output is new content.
type Output struct {
	Payload []byte
	// ContentType is unchanged where it is empty.
	ContentType string
	Headers     Properties
}

// Part is a part of a split. With findings it goes to the reject queue with them.
type Part struct {
	Output
	Refused []Finding
}

// Level is that of a log line.
type Level uint8

const (
	LevelTrace Level = iota
	LevelDebug
	LevelInfo
	LevelWarn
	LevelError
)

// Log writes a line to the plugin's log. What fmt.Println and log.Println write goes there, too.
func Log(level Level, text string) {
	writeLog(level, text)
}
