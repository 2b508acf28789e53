// Everyday calls, each with what it answers; docs/src/plugins/calls.md has the same table, and a test compares.
package main

import (
	"bufio"
	crypto "crypto/rand"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"calls/sesame"
)

type plugin struct{}

func init() {
	sesame.Serve(plugin{})
}

func main() {}

func (plugin) Describe() sesame.Description {
	return sesame.Description{Name: "calls", Version: "0.1.0", Summary: "Everyday calls."}
}

func (plugin) Init(sesame.Config) error {
	return nil
}

var answers strings.Builder

// say writes the last value, which is the error where there is one.
func say(call string, values ...any) {
	var said any
	for _, value := range values {
		if _, failed := value.(error); failed || value != nil {
			said = value
		}
	}
	fmt.Fprintf(&answers, "%s\t%v\n", call, said)
}

// number leaves out what else there is to say of a number.
func number(value int, _ error) int {
	return value
}

// together counts with goroutines.
func together(count int) (sum int) {
	var group sync.WaitGroup
	numbers := make(chan int, count)
	for number := range count {
		group.Go(func() { numbers <- number })
	}
	group.Wait()
	close(numbers)
	for number := range numbers {
		sum += number
	}
	return sum
}

// waited is how long a pause took.
func waited(pause time.Duration) time.Duration {
	before := time.Now()
	time.Sleep(pause)
	return time.Since(before).Truncate(time.Minute)
}

func all() {
	type record struct{ Site string }
	var read record
	now := time.Now().UTC
	say(`fmt.Println("seen")`, number(fmt.Println("seen")))
	say(`fmt.Fprintln(os.Stderr, "seen")`, number(fmt.Fprintln(os.Stderr, "seen")))
	log.Print("seen")
	say(`log.Flags()`, log.Flags())
	slog.Warn("seen", "site", "A")
	say(`time.Now().UTC().Format(time.RFC3339)`, now().Format(time.RFC3339))
	say(`time.Now().Weekday()`, now().Weekday())
	say(`time.Local`, time.Local)
	day, _ := time.Parse(time.DateOnly, "2026-04-01")
	say(`time.Parse(time.DateOnly, "2026-04-01")`, day)
	say(`time.LoadLocation("Europe/London")`, second(time.LoadLocation("Europe/London")))
	say(`time.ParseDuration("1h30m")`, first(time.ParseDuration("1h30m")))
	say(`time.Since(before), after time.Sleep(time.Hour)`, waited(time.Hour))
	say(`(<-time.After(time.Hour)).IsZero()`, (<-time.After(time.Hour)).IsZero())
	say(`rand.IntN(10) < 10`, rand.IntN(10) < 10)
	say(`crypto.Text() != crypto.Text()`, crypto.Text() != crypto.Text())
	say(`os.ReadFile("/etc/hosts")`, second(os.ReadFile("/etc/hosts")))
	say(`os.WriteFile("out.txt", nil, 0o600)`, os.WriteFile("out.txt", nil, 0o600))
	say(`os.Getenv("HOME") == ""`, os.Getenv("HOME") == "")
	say(`len(os.Environ())`, len(os.Environ()))
	say(`os.Hostname()`, first(os.Hostname()))
	say(`bufio.NewReader(os.Stdin).ReadString('\n')`, second(bufio.NewReader(os.Stdin).ReadString('\n')))
	say(`exec.Command("ls").Run()`, exec.Command("ls").Run())
	say(`net.Dial("tcp", "192.0.2.1:80")`, second(net.Dial("tcp", "192.0.2.1:80")))
	say(`net.ParseIP("192.0.2.1").IsPrivate()`, net.ParseIP("192.0.2.1").IsPrivate())
	say(`http.Get("http://192.0.2.1/")`, second(http.Get("http://192.0.2.1/")))
	say(`runtime.NumCPU()`, runtime.NumCPU())
	say(`together(100)`, together(100))
	say(`json.Unmarshal([]byte("{\"Site\": 1}"), &read)`, json.Unmarshal([]byte(`{"Site": 1}`), &read))
	say(`xml.Unmarshal([]byte("<r><Site>A</Site></r>"), &read)`, xml.Unmarshal([]byte("<r><Site>A</Site></r>"), &read))
	say(`csv.NewReader(strings.NewReader("a,\"b\"")).Read()`, first(csv.NewReader(strings.NewReader(`a,"b"`)).Read()))
	say(`regexp.MustCompile("[aeiou]").ReplaceAllString("sesame", "")`,
		regexp.MustCompile("[aeiou]").ReplaceAllString("sesame", ""))
	say(`strconv.Atoi("12 kB")`, second(strconv.Atoi("12 kB")))
	say(`strings.ToUpper("größer")`, strings.ToUpper("größer"))
	say(`fmt.Sprintf("%.2f", 1.005)`, fmt.Sprintf("%.2f", 1.005))
	sum := sha256.Sum256([]byte("sesame"))
	say(`hex.EncodeToString(sum[:4])`, hex.EncodeToString(sum[:4]))
	names := map[string]int{"b": 1, "a": 2}
	keys := make([]string, 0, len(names))
	for key := range names {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	say(`sort.Strings(keys)`, keys)
}

func first[T any](value T, _ error) T {
	return value
}

func second[T any](_ T, err error) error {
	return err
}

func (plugin) Transform(message *sesame.Message) (sesame.Transformed, error) {
	switch string(message.Payload) {
	case "all":
		all()
	case "chance":
		fmt.Fprintln(&answers, rand.Uint64(), crypto.Text())
	case "deadlock":
		<-make(chan int)
	}
	return sesame.Transformed{Replace: &sesame.Output{Payload: []byte(answers.String())}}, nil
}
