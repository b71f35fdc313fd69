package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"fastness/client"
)

func Example() {
	token := client.NewValue([]byte(os.Getenv("FASTNESS_TOKEN")))
	defer token.Release()
	c, err := client.New(client.Config{Address: "https://vault.example:8420", Token: token})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	ctx := context.Background()
	password, err := c.Session("shop").Get(ctx, "db/password", client.Selector{})
	switch {
	case errors.Is(err, client.ErrNotFound):
		fmt.Println("there is none yet")
		return
	case err != nil:
		log.Fatal(err)
	}
	defer password.Value.Release()
	connect(password.Value.Bytes())
}

func connect([]byte) {}
