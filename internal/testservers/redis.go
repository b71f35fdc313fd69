package testservers

import (
	"fmt"
	"strings"
)

// startRedis starts Redis with an ACL file in which only Admin stands; the
// default user is off.
func startRedis(o Options) (*Server, error) {
	program, err := find([]string{"/usr/bin"}, "redis-server")
	if err != nil {
		return nil, err
	}
	return launch("redis", "admin", func(p *process, port int) error {
		users, err := p.write("users.acl", fmt.Sprintf("user default off\nuser admin on >%s ~* &* +@all\n", AdminPassword))
		if err != nil {
			return err
		}
		config := []string{"bind 127.0.0.1", "dir " + p.dir, "aclfile " + users, `save ""`, "loglevel verbose"}
		ready := func() bool { return speaks(port, "PING\r\n") }
		if o.TLS != nil {
			certificate, key, err := o.TLS.write(p)
			if err != nil {
				return err
			}
			config = append(config, "port 0", fmt.Sprintf("tls-port %d", port), "tls-cert-file "+certificate, "tls-key-file "+key, "tls-auth-clients no")
			ready = func() bool { return greetsTLS(port) }
		} else {
			config = append(config, fmt.Sprintf("port %d", port))
		}
		file, err := p.write("redis.conf", strings.Join(config, "\n")+"\n")
		if err != nil {
			return err
		}
		return p.start(ready, program, append([]string{file}, o.Args...)...)
	})
}
