// A client of SageAPI in Go 1.18 or newer, using only the standard library.
//
//	go run client.go http://127.0.0.1:8080 ak_... secret-file
package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"time"
)

type client struct{ origin, keyID, secret string }

func random(size int) string {
	raw := make([]byte, size)
	if _, err := rand.Read(raw); err != nil {
		log.Fatal(err)
	}
	return hex.EncodeToString(raw)
}

// sign adds the signature that RFC 9421 specifies. Path and query are signed as they are sent.
func (c client) sign(request *http.Request, body []byte) {
	var names []string
	var base strings.Builder
	cover := func(name, value string) {
		names = append(names, `"`+name+`"`)
		fmt.Fprintf(&base, "\"%s\": %s\n", name, value)
	}
	cover("@method", request.Method)
	cover("@authority", request.URL.Host)
	cover("@path", request.URL.EscapedPath())
	if query := request.URL.RawQuery; query != "" {
		cover("@query", "?"+query)
	}
	if body != nil {
		digest := sha256.Sum256(body)
		value := "sha-256=:" + base64.StdEncoding.EncodeToString(digest[:]) + ":"
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Content-Digest", value)
		cover("content-digest", value)
	}
	params := fmt.Sprintf(`(%s);created=%d;nonce="%s";keyid="%s";alg="hmac-sha256";tag="sageapi"`,
		strings.Join(names, " "), time.Now().Unix(), random(16), c.keyID)
	fmt.Fprintf(&base, "\"@signature-params\": %s", params)
	tag := hmac.New(sha256.New, []byte(c.secret))
	tag.Write([]byte(base.String()))
	request.Header.Set("Signature-Input", "sig1="+params)
	request.Header.Set("Signature", "sig1=:"+base64.StdEncoding.EncodeToString(tag.Sum(nil))+":")
}

func (c client) show(method, target string, body []byte) {
	request, err := http.NewRequest(method, c.origin+target, bytes.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	c.sign(request, body)
	answer, err := (&http.Client{Timeout: 30 * time.Second}).Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.StatusCode, string(text))
}

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: go run client.go ORIGIN KEY_ID SECRET_FILE")
	}
	secret, err := os.ReadFile(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	c := client{os.Args[1], os.Args[2], strings.TrimSpace(string(secret))}
	c.show("GET", "/api/v1/balance", nil)
	// If the response is lost, retry with the same transno: it is booked once.
	c.show("POST", "/api/v1/accounting", []byte(fmt.Sprintf(`{"transno":"go-%s","amount":"0.01"}`, random(8))))
	c.show("GET", "/api/v1/accounting?limit=1", nil)
}
