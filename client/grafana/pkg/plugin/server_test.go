package plugin

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/client/grafana/pkg/flowql"
)

// Tests ask a real server where its program is there (SLUICE_BIN, or the build folder of this checkout), and otherwise answers
// that one gave and that are kept in testdata. Frames must be the same either way. `go test ./pkg/plugin -update` writes both anew; it needs the program.
var update = flag.Bool("update", false, "write the golden frames and the recorded answers anew")

const answersFile = "testdata/answers.json"

type recorded struct {
	Status int             `json:"status"`
	Body   json.RawMessage `json:"body"`
}

var (
	once    sync.Once
	baseURL string
	isReal  bool
	stop    = func() {}
	lock    sync.Mutex
	kept    = map[string]recorded{}
)

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	stop()
	if *update && code == 0 {
		write, err := json.MarshalIndent(kept, "", " ")
		if err == nil {
			err = os.WriteFile(answersFile, append(write, '\n'), 0o644)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func program() string {
	if folder := os.Getenv("SLUICE_BIN"); folder != "" {
		return filepath.Join(folder, "sluiced")
	}
	path, _ := filepath.Abs("../../../../build/release/bin/sluiced")
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// server is the address of one with the flows of fixture(); the same for all tests.
func server(t *testing.T) string {
	t.Helper()
	once.Do(func() {
		if path := program(); path != "" {
			isReal = true
			baseURL = startServer(t, path)
			if *update {
				baseURL = recorder(baseURL)
			}
			return
		}
		if *update {
			t.Fatal("-update needs the server's program: set SLUICE_BIN to its folder")
		}
		text, err := os.ReadFile(answersFile)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &kept); err != nil {
			t.Fatal(err)
		}
		player := httptest.NewServer(http.HandlerFunc(play))
		stop = player.Close
		baseURL = player.URL
	})
	if !isReal {
		t.Log("asks recorded answers: no sluiced in SLUICE_BIN or build/release/bin")
	}
	return baseURL
}

func startServer(t *testing.T, path string) string {
	folder, err := os.MkdirTemp("", "sluice-grafana")
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(path, "--data", filepath.Join(folder, "data"), "--http", "127.0.0.1:0", "--netflow", "127.0.0.1:0", "--sflow", "127.0.0.1:0")
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var words bytes.Buffer
	command.Stderr = &words
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		_ = os.RemoveAll(folder)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	found := regexp.MustCompile(`http=(\S+)`).FindStringSubmatch(line)
	if err != nil || found == nil {
		stop()
		t.Fatalf("the server did not start: %v %s", err, words.String())
	}
	url := "http://" + found[1]
	response, err := http.Post(url+"/v1/ingest/aws_vpc", "text/plain", strings.NewReader(fixture()))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, _ := io.ReadAll(response.Body); response.StatusCode != 200 || !bytes.Contains(text, []byte(`"rejected":0`)) {
		t.Fatalf("the flows were not taken: %s", text)
	}
	return url
}

// One hour of a small network from 2025-11-20 10:00; each flow ends in the past of every clock that runs this. The same on every run.
var (
	fixtureFrom = time.Date(2025, 11, 20, 10, 0, 0, 0, time.UTC)
	fixtureTo   = fixtureFrom.Add(time.Hour)
)

// An interface that calls itself so: a stranger's text that wants to be markup, and a query.
const hostileName = `eni-"><img/src=x>'|limit`

func fixture() string {
	var out strings.Builder
	out.WriteString("version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status region\n")
	line := func(eni, src, dst string, sport, dport, proto, packets, bytes int, at time.Duration, action string) {
		end := fixtureFrom.Add(at).Unix()
		fmt.Fprintf(&out, "5 111122223333 %s %s %s %d %d %d %d %d %d %d %s OK eu-central-1\n", eni, src, dst, sport, dport, proto, packets, bytes, end-10, end, action)
	}
	for minute := 0; minute < 60; minute += 5 {
		at := time.Duration(minute)*time.Minute + 30*time.Second
		line("eni-0a", "10.0.0.1", "10.0.1.9", 40000+minute, 443, 6, 10+minute, 1000*(minute+1), at, "ACCEPT")
		line("eni-0a", "10.0.0.2", "10.0.1.9", 41000+minute, 443, 6, 5, 500, at, "ACCEPT")
		line("eni-0b", "10.0.0.1", "10.0.1.53", 42000+minute, 53, 17, 1, 80, at+time.Second, "ACCEPT")
		if minute%15 == 0 {
			line("eni-0b", "203.0.113.66", "10.0.0.2", 50000, 22, 6, 1, 44, at+2*time.Second, "REJECT")
			line(hostileName, "2001:db8::1", "2001:db8::2", 50001, 8443, 6, 3, 300, at+3*time.Second, "ACCEPT")
		}
	}
	return out.String()
}

func keyOf(r *http.Request, body []byte) string {
	var members map[string]any
	if json.Unmarshal(body, &members) == nil {
		delete(members, "timeout_ms")
		// In the order of the names, so that the key is one.
		parts := []string{r.Method + " " + r.URL.Path}
		for _, name := range slices.Sorted(maps.Keys(members)) {
			value, _ := json.Marshal(members[name])
			parts = append(parts, name+"="+string(value))
		}
		return strings.Join(parts, " ")
	}
	return r.Method + " " + r.URL.RequestURI()
}

func play(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	answer, ok := kept[keyOf(r, body)]
	w.Header().Set("Content-Type", "application/json")
	if !ok {
		w.WriteHeader(http.StatusNotImplemented)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"code": "test", "message": "no answer is recorded for " + keyOf(r, body)}})
		return
	}
	w.WriteHeader(answer.Status)
	_, _ = w.Write(answer.Body)
}

// recorder stands before the real server and keeps what it says.
func recorder(target string) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		request, _ := http.NewRequest(r.Method, target+r.URL.RequestURI(), bytes.NewReader(body))
		request.Header = r.Header.Clone()
		request.Header.Del("Accept-Encoding")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer response.Body.Close()
		answer, _ := io.ReadAll(response.Body)
		lock.Lock()
		kept[keyOf(r, body)] = recorded{response.StatusCode, answer}
		lock.Unlock()
		w.Header().Set("Content-Type", response.Header.Get("Content-Type"))
		w.WriteHeader(response.StatusCode)
		_, _ = w.Write(answer)
	}))
	end := stop
	stop = func() { s.Close(); end() }
	return s.URL
}

func variables(name string, values ...string) map[string]flowql.Variable {
	return map[string]flowql.Variable{name: {Values: values}}
}

func filter(key, operator, value string) flowql.Filter {
	return flowql.Filter{Key: key, Operator: operator, Value: value}
}
