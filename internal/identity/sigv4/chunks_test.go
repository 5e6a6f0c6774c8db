package sigv4

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// The examples of "Signature calculations for the Authorization header: transferring
// payload in multiple chunks", with and without a trailer, in AWS's guide to S3's
// API.
const (
	guideSecret      = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	guideSeed        = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
	guideSeedTrailer = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
)

func guidePayload(declared, seed string) Payload {
	q := Request{
		Date: time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC), scope: "20130524/us-east-1/s3/aws4_request", signature: seed, PayloadHash: declared,
	}
	return q.Payload(NewSecret(guideSecret))
}

func guideBody(signatures ...string) string {
	return "10000;chunk-signature=" + signatures[0] + "\r\n" + strings.Repeat("a", 65536) + "\r\n" +
		"400;chunk-signature=" + signatures[1] + "\r\n" + strings.Repeat("a", 1024) + "\r\n" +
		"0;chunk-signature=" + signatures[2] + "\r\n"
}

func guideSigned() string {
	return guideBody("ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648", "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
		"b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9") + "\r\n"
}

const guideTrailer = "x-amz-checksum-crc32c:sOO8/Q==\n\r\nx-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"

func guideTrailed() string {
	return guideBody("b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2", "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
		"2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992") + guideTrailer
}

func TestChunks(t *testing.T) {
	signed, trailed := guidePayload(SignedChunks, guideSeed), guidePayload(SignedChunksTrailer, guideSeedTrailer)
	unsigned := Payload{Declared: UnsignedChunksTrailer}
	contents := strings.Repeat("a", 66560)
	crc := []string{"x-amz-checksum-crc32c"}
	const plain = "5\r\nhello\r\n1\r\n!\r\n0\r\n"
	for _, c := range []struct {
		name   string
		p      Payload
		body   string
		length int64
		names  []string
		want   error
	}{
		{"the guide's", signed, guideSigned(), 66560, nil, nil},
		{"the guide's with a trailer", trailed, guideTrailed(), 66560, crc, nil},
		{"lines that end once", trailed, strings.Replace(guideTrailed(), "==\n\r\n", "==\r\n", 1), 66560, crc, nil},
		{"another byte", signed, strings.Replace(guideSigned(), "aaa", "aab", 1), 66560, nil, ErrMismatch},
		{"another byte in the second chunk", signed, strings.Replace(guideSigned(), "a\r\n0;", "b\r\n0;", 1), 66560, nil, ErrMismatch},
		{"another seed", trailed, guideSigned(), 66560, nil, ErrMismatch},
		{"another key", Payload{Declared: SignedChunks, key: []byte("x"), seed: guideSeed, context: signed.context}, guideSigned(), 66560, nil, ErrMismatch},
		{"the last chunk is another's", signed, strings.Replace(guideSigned(), "b6c6ea", "b6c6eb", 1), 66560, nil, ErrMismatch},
		{"no last chunk", signed, guideSigned()[:strings.LastIndex(guideSigned(), "0;chunk")], 66560, nil, io.ErrUnexpectedEOF},
		{"cut in a chunk", signed, guideSigned()[:1000], 66560, nil, io.ErrUnexpectedEOF},
		{"no signatures", signed, plain + "\r\n", 6, nil, ErrPayload},
		{"another trailer", trailed, strings.Replace(guideTrailed(), "sOO8", "sOO9", 1), 66560, crc, ErrMismatch},
		{"no signature of the trailer", trailed, guideTrailed()[:strings.Index(guideTrailed(), "x-amz-trailer")] + "\r\n", 66560, crc, ErrMismatch},
		{"a trailer after its signature", trailed, strings.TrimSuffix(guideTrailed(), "\r\n") + "x-amz-checksum-crc32:AAAA\r\n", 66560, append(crc, "x-amz-checksum-crc32"), ErrTrailer},
		{"a trailer where none is signed", signed, strings.TrimSuffix(guideSigned(), "\r\n") + "x-amz-checksum-crc32c:sOO8/Q==\r\n\r\n", 66560, crc, ErrTrailer},

		{"unsigned", unsigned, plain + "x-amz-checksum-crc32c:sOO8/Q==\r\n\r\n", 6, crc, nil},
		{"unsigned without an end", unsigned, plain + "X-Amz-Checksum-Crc32c: sOO8/Q== ", 6, crc, nil},
		{"unsigned without a trailer", unsigned, plain + "\r\n", 6, nil, nil},
		{"unsigned with extensions", unsigned, "5;x=y\r\nhello\r\n1;\r\n!\r\n0;\r\n\r\n", 6, nil, nil},
		{"nothing", unsigned, "0\r\n\r\n", 0, nil, nil},
		{"the trailer is missing", unsigned, plain + "\r\n", 6, crc, ErrTrailer},
		{"a trailer that was not announced", unsigned, plain + "x-amz-checksum-sha1:AAAA\r\n\r\n", 6, nil, ErrTrailer},
		{"a trailer twice", unsigned, plain + "x-amz-checksum-crc32c:a\r\nx-amz-checksum-crc32c:b\r\n\r\n", 6, crc, ErrTrailer},
		{"a trailer without a value", unsigned, plain + "x-amz-checksum-crc32c\r\n\r\n", 6, crc, ErrTrailer},
		{"a long trailer", unsigned, plain + "x-amz-checksum-crc32c:" + strings.Repeat("a", maxTrailer) + "\r\n\r\n", 6, crc, ErrPayload},
		{"longer than declared", unsigned, plain + "\r\n", 5, nil, ErrLength},
		{"shorter than declared", unsigned, plain + "\r\n", 7, nil, ErrLength},
		{"no size", unsigned, "\r\nhello\r\n", 6, nil, ErrPayload},
		{"a negative size", unsigned, "-5\r\nhello\r\n", 6, nil, ErrPayload},
		{"a huge size", unsigned, "ffffffffffffffff\r\nhello\r\n", 6, nil, ErrPayload},
		{"a size with a sign", unsigned, "+5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", 6, nil, ErrPayload},
		{"a long head", unsigned, "5;" + strings.Repeat("x", maxChunkHead) + "\r\nhello\r\n", 6, nil, ErrPayload},
		{"a chunk that does not end", unsigned, "4\r\nhello\r\n", 6, nil, ErrPayload},
		{"empty", unsigned, "", 0, nil, io.ErrUnexpectedEOF},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := contents
			if c.length < 10 {
				want = "hello!"[:min(c.length, 6)]
			}
			for name, body := range map[string]io.Reader{
				"whole": strings.NewReader(c.body), "byte by byte": iotest.OneByteReader(strings.NewReader(c.body)), "with the error": iotest.DataErrReader(strings.NewReader(c.body)),
			} {
				got, err := io.ReadAll(NewChunkReader(body, c.p, c.length, c.names))
				if !errors.Is(err, c.want) || err == nil && string(got) != want {
					t.Errorf("%s: %d bytes, %v, want %v", name, len(got), err, c.want)
				}
			}
		})
	}
}

func TestTrailersCanBeAskedFor(t *testing.T) {
	r := NewChunkReader(strings.NewReader(guideTrailed()), guidePayload(SignedChunksTrailer, guideSeedTrailer), 66560, []string{"x-amz-checksum-crc32c"})
	if _, err := io.Copy(io.Discard, r); err != nil || r.Trailer("x-amz-checksum-crc32c") != "sOO8/Q==" || r.Trailer("other") != "" {
		t.Errorf("trailer %q, %v", r.Trailer("x-amz-checksum-crc32c"), err)
	}
}

// TestABodyIsReadToItsEnd: otherwise the connection could not be used again.
func TestABodyIsReadToItsEnd(t *testing.T) {
	body := strings.NewReader("1\r\nx\r\n0\r\n\r\nand more")
	if _, err := io.Copy(io.Discard, NewChunkReader(body, Payload{Declared: UnsignedChunksTrailer}, 1, nil)); err != nil || body.Len() > 0 {
		t.Errorf("%d bytes are left, %v", body.Len(), err)
	}
}

func TestPayloads(t *testing.T) {
	hash := HashBody(nil)
	for declared, known := range map[string]bool{
		"": true, UnsignedPayload: true, hash: true, strings.ToUpper(hash): true, SignedChunks: true, SignedChunksTrailer: true, UnsignedChunksTrailer: true,
		"STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD": false, "x": false, hash[1:]: false, hash[1:] + "g": false,
	} {
		p := guidePayload(declared, guideSeed)
		if p.Known() != known {
			t.Errorf("%q is known: %t", declared, p.Known())
		}
		if (p.Hash() == hash) != strings.EqualFold(declared, hash) {
			t.Errorf("the hash of %q is %q", declared, p.Hash())
		}
	}
	if (Payload{Declared: SignedChunks}).Known() {
		t.Error("signed chunks of a request that is not signed can be checked")
	}
}

func TestVerifyText(t *testing.T) {
	q := Request{scope: "20130524/us-east-1/s3/aws4_request"}
	secret := NewSecret(guideSecret)
	good := hex.EncodeToString(mac(q.signingKey(secret), "text"))
	if err := q.VerifyText(secret, "text", good); err != nil {
		t.Error(err)
	}
	if err := q.VerifyText(secret, "texts", good); !errors.Is(err, ErrMismatch) {
		t.Errorf("another text: %v", err)
	}
}

func FuzzChunkReader(f *testing.F) {
	f.Add([]byte("5\r\nhello\r\n1\r\n!\r\n0\r\nx-amz-checksum-crc32c:sOO8/Q==\r\n\r\n"), int64(6), 0)
	f.Add([]byte(guideSigned()), int64(66560), 1)
	f.Add([]byte(guideTrailed()), int64(66560), 2)
	f.Add([]byte("0\r\n\r\n"), int64(0), 0)
	f.Fuzz(func(t *testing.T, body []byte, length int64, kind int) {
		p := []Payload{{Declared: UnsignedChunksTrailer}, guidePayload(SignedChunks, guideSeed), guidePayload(SignedChunksTrailer, guideSeedTrailer)}[uint(kind)%3]
		got, err := io.ReadAll(NewChunkReader(bytes.NewReader(body), p, length, []string{"x-amz-checksum-crc32c"}))
		if err == nil && int64(len(got)) != length {
			t.Errorf("%d bytes, declared were %d", len(got), length)
		}
		if len(got) > len(body) {
			t.Errorf("%d bytes out of %d", len(got), len(body))
		}
		if again, err2 := io.ReadAll(NewChunkReader(iotest.OneByteReader(bytes.NewReader(body)), p, length, []string{"x-amz-checksum-crc32c"})); err == nil &&
			(err2 != nil || !bytes.Equal(got, again)) {
			t.Errorf("byte by byte it is another: %v", err2)
		}
	})
}

func BenchmarkChunkReader(b *testing.B) {
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 64<<10, strings.Repeat("a", 64<<10))
	body := strings.Repeat(chunk, 256) + "0\r\n\r\n"
	b.SetBytes(16 << 20)
	for b.Loop() {
		r := NewChunkReader(strings.NewReader(body), Payload{Declared: UnsignedChunksTrailer}, 16<<20, nil)
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, make([]byte, 256<<10)); err != nil {
			b.Fatal(err)
		}
	}
}
