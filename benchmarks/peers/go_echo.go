// Go's net and crypto/tls: echo, or lines. One goroutine a connection.
//
//	go_echo [-port N] [-framing raw|lines|length] [-cert FILE -key FILE] [-udp]
package main

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
)

const maxMessage = 64 * 1024

func echo(c net.Conn) {
	defer c.Close()
	buffer := make([]byte, 16*1024)
	for {
		n, err := c.Read(buffer)
		if n > 0 {
			if _, err := c.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// Replies leave when no whole message waits in the reader's buffer: bufio's idiom for pipelined protocols.
func framed(next func(*bufio.Reader, *bufio.Writer) error) func(net.Conn) {
	return func(c net.Conn) {
		defer c.Close()
		r, w := bufio.NewReaderSize(c, maxMessage), bufio.NewWriterSize(c, maxMessage)
		for {
			if err := next(r, w); err != nil {
				return
			}
			if r.Buffered() == 0 {
				if err := w.Flush(); err != nil {
					return
				}
			}
		}
	}
}

func line(r *bufio.Reader, w *bufio.Writer) error {
	text, err := r.ReadSlice('\n')
	if err == nil {
		_, err = w.Write(text)
	}
	return err
}

func counted(r *bufio.Reader, w *bufio.Writer) error {
	var header [4]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(header[:])
	if size > maxMessage {
		return fmt.Errorf("message of %d bytes", size)
	}
	message := make([]byte, size)
	if _, err := io.ReadFull(r, message); err != nil {
		return err
	}
	w.Write(header[:])
	_, err := w.Write(message)
	return err
}

func datagrams(port int) {
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	check(err)
	socket.SetReadBuffer(4 << 20)
	socket.SetWriteBuffer(4 << 20)
	announce(socket.LocalAddr().String())
	buffer := make([]byte, 65536)
	for {
		n, peer, err := socket.ReadFromUDPAddrPort(buffer)
		check(err)
		socket.WriteToUDPAddrPort(buffer[:n], peer)
	}
}

func announce(address string) { fmt.Printf("ready %s\n", address) }

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "go_echo:", err)
		os.Exit(3)
	}
}

func main() {
	port := flag.Int("port", 0, "")
	framing := flag.String("framing", "raw", "")
	cert := flag.String("cert", "", "")
	key := flag.String("key", "", "")
	udp := flag.Bool("udp", false, "")
	flag.Parse()
	if *udp {
		datagrams(*port)
	}
	listener, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", *port))
	check(err)
	announce(listener.Addr().String())
	if *cert != "" {
		pair, err := tls.LoadX509KeyPair(*cert, *key)
		check(err)
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{pair}})
	}
	handler := map[string]func(net.Conn){"raw": echo, "lines": framed(line), "length": framed(counted)}[*framing]
	for {
		c, err := listener.Accept()
		check(err)
		go handler(c)
	}
}
