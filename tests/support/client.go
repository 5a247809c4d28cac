// Connects once for each line, which is a port, and prints a line of what came of it.
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"os"
	"regexp"
)

var counts = regexp.MustCompile(`(?m)^counts .*\n`)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func visit(config *tls.Config, port, request string, closes bool) map[string]any {
	told := map[string]any{"resumed": false, "said": "", "error": ""}
	connection, err := tls.Dial("tcp", "127.0.0.1:"+port, config)
	if err != nil {
		told["error"] = err.Error()
		return told
	}
	told["resumed"] = connection.ConnectionState().DidResume
	var said, part = []byte{}, make([]byte, 4096)
	_, err = io.WriteString(connection, request)
	for n := 0; err == nil && (closes || !counts.Match(said)); said = append(said, part[:n]...) {
		n, err = connection.Read(part)
	}
	told["said"] = string(said)
	if err != nil {
		told["error"] = err.Error()
	}
	if closes {
		connection.Close()
	} else {
		connection.NetConn().Close()
	}
	return told
}

func main() {
	ca, chain, closes, request := os.Args[1], os.Args[2], os.Args[4] == "1", os.Args[5]
	pem, err := os.ReadFile(ca)
	must(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	certificate, err := tls.LoadX509KeyPair(chain, chain)
	must(err)
	version := map[string]uint16{"TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13}[os.Args[3]]
	config := &tls.Config{ServerName: "a.test", RootCAs: roots, Certificates: []tls.Certificate{certificate},
		MinVersion: version, MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		must(json.NewEncoder(os.Stdout).Encode(visit(config, lines.Text(), request, closes)))
	}
}
