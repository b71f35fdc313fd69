package wire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/wire"
)

func TestDecodeKnown(t *testing.T) {
	var dst struct {
		Name  string            `json:"Name"`
		Value *secretbuf.Buffer `json:"Value"`
		Size  *int64            `json:"Size"`
		Gone  *string           `json:"Gone"`
	}
	body := secretbuf.Take([]byte(`{"Name": "n", "New": [{"deep": [1, "x"]}], "Value": "a\nb", "Size": 3, "Gone": null}`))
	defer body.Release()
	if err := wire.DecodeKnown(body, &dst); err != nil {
		t.Fatal(err)
	}
	defer dst.Value.Release()
	if dst.Name != "n" || !bytes.Equal(dst.Value.Bytes(), []byte("a\nb")) || *dst.Size != 3 || dst.Gone != nil {
		t.Errorf("%+v", dst)
	}
	if bytes.Contains(body.Bytes(), []byte("b")) && bytes.Contains(body.Bytes(), []byte(`\n`)) {
		t.Error("the value is still in the body")
	}
	wrong := secretbuf.Take([]byte(`{"Size": "x"}`))
	defer wrong.Release()
	if err := wire.DecodeKnown(wrong, &dst); !errors.Is(err, secret.ErrInvalid) || secret.Of(err).Field != "Size" {
		t.Errorf("%v", err)
	}
}

func TestForeignValues(t *testing.T) {
	var b secretbuf.Builder
	defer b.Release()
	b.AppendString(`[`)
	wire.AppendText(&b, `a"b`)
	b.AppendString(`,`)
	wire.AppendSecret(&b, []byte("c\\\x01é"))
	b.AppendString(`,`)
	wire.AppendBase64(&b, []byte{0xff, 0})
	b.AppendString(`]`)
	var got []string
	if err := json.Unmarshal(b.Bytes(), &got); err != nil || len(got) != 3 || got[0] != `a"b` || got[1] != "c\\\x01é" || got[2] != "/wA=" {
		t.Errorf("%q, %v", got, err)
	}
	text := secretbuf.Take([]byte("/wA="))
	defer text.Release()
	value, err := wire.FromBase64("Blob", text)
	if err != nil || !bytes.Equal(value.Bytes(), []byte{0xff, 0}) {
		t.Errorf("%v", err)
	}
	value.Release()
	broken := secretbuf.Take([]byte("/wA"))
	defer broken.Release()
	if _, err := wire.FromBase64("Blob", broken); secret.Of(err).Field != "Blob" {
		t.Errorf("%v", err)
	}
}
