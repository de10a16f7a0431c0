package supervise

import (
	"bufio"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

type request struct {
	words []string
	reply chan string
}

type exit struct {
	name string
	cmd  *exec.Cmd
}

type supervisor struct {
	spec    *Spec
	running map[string]*exec.Cmd
	ended   map[string]string // name -> how it ended, for those that should run and do not
	exits   chan exit
}

// Run is the supervisor process: it starts every component of the instance in dir (which becomes
// the working directory), tells ready, and serves requests until it is told to end.
//
// All processes are started from this one locked thread: the parent-death signal follows the
// thread, not the process.
func Run(dir string, ready *os.File) error {
	runtime.LockOSThread()
	if err := os.Chdir(dir); err != nil {
		return err
	}
	spec, err := Load(".", "")
	if err != nil {
		return err
	}
	// A relative name, for the path of a socket may have 107 bytes only.
	listener, err := net.Listen("unix", "control.sock")
	if err != nil {
		return err
	}
	s := &supervisor{
		spec:    spec,
		running: map[string]*exec.Cmd{},
		ended:   map[string]string{},
		exits:   make(chan exit, 16),
	}
	defer s.stopAll()
	for _, c := range spec.Components {
		if err := s.start(c.Name); err != nil {
			return err
		}
	}
	if ready != nil {
		fmt.Fprintln(ready, "ready")
		ready.Close()
	}
	return s.serve(listener)
}

func (s *supervisor) serve(listener net.Listener) error {
	requests := make(chan request)
	go accept(listener, requests)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	owner, err := watchOwner(s.spec.Owner)
	if err != nil {
		return err
	}
	for {
		select {
		case <-signals:
			log.Print("told to end by a signal")
			return nil
		case <-owner:
			log.Printf("owner %d has ended", s.spec.Owner)
			return nil
		case e := <-s.exits:
			s.exited(e)
		case r := <-requests:
			answer, last := s.handle(r.words)
			r.reply <- answer
			if last {
				<-r.reply // written
				return nil
			}
		}
	}
}

func (s *supervisor) handle(words []string) (answer string, last bool) {
	verb := strings.Join(words, " ")
	if verb != "status" { // asked many times while waiting
		log.Printf("request: %s", verb)
	}
	var err error
	switch {
	case verb == "down":
		s.stopAll()
		return "ok", true
	case verb == "status":
		return "ok " + s.status(), false
	case len(words) == 2 && words[0] == "stop":
		err = s.stop(words[1])
	case len(words) == 2 && words[0] == "start":
		err = s.start(words[1])
	case len(words) == 2 && words[0] == "restart":
		if err = s.stop(words[1]); err == nil {
			err = s.start(words[1])
		}
	default:
		err = fmt.Errorf("unknown request %q", verb)
	}
	if err != nil {
		return "error " + err.Error(), false
	}
	return "ok", false
}

func (s *supervisor) component(name string) (*Component, error) {
	for i := range s.spec.Components {
		if s.spec.Components[i].Name == name {
			return &s.spec.Components[i], nil
		}
	}
	return nil, fmt.Errorf("no component %q", name)
}

func (s *supervisor) start(name string) error {
	c, err := s.component(name)
	if err != nil {
		return err
	}
	if s.running[name] != nil {
		return fmt.Errorf("%s runs already", name)
	}
	out, err := os.OpenFile(filepath.Join("logs", name+".log"),
		os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(c.Argv[0], c.Argv[1:]...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	s.running[name] = cmd
	delete(s.ended, name)
	s.writePids()
	go func() {
		cmd.Wait()
		s.exits <- exit{name, cmd}
	}()
	return nil
}

// stop kills at once: nothing of a test instance needs an orderly end, and the hard way is what a
// node must bear anyway.
func (s *supervisor) stop(name string) error {
	cmd := s.running[name]
	if cmd == nil {
		if _, err := s.component(name); err != nil {
			return err
		}
		delete(s.ended, name)
		return nil
	}
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	for s.running[name] == cmd {
		s.exited(<-s.exits)
	}
	delete(s.ended, name)
	return nil
}

func (s *supervisor) exited(e exit) {
	if s.running[e.name] != e.cmd {
		return
	}
	delete(s.running, e.name)
	s.ended[e.name] = e.cmd.ProcessState.String()
	log.Printf("%s (pid %d) ended: %s", e.name, e.cmd.Process.Pid, e.cmd.ProcessState)
	s.writePids()
}

func (s *supervisor) stopAll() {
	for i := len(s.spec.Components) - 1; i >= 0; i-- {
		s.stop(s.spec.Components[i].Name)
	}
	os.Remove("control.sock")
}

func (s *supervisor) status() string {
	var out []string
	for _, c := range s.spec.Components {
		if cmd := s.running[c.Name]; cmd != nil {
			out = append(out, fmt.Sprintf("%s=%d", c.Name, cmd.Process.Pid))
		} else if how, bad := s.ended[c.Name]; bad {
			out = append(out, fmt.Sprintf("%s=ended(%s)", c.Name, strings.ReplaceAll(how, " ", "_")))
		} else {
			out = append(out, c.Name+"=stopped")
		}
	}
	return strings.Join(out, " ")
}

func (s *supervisor) writePids() {
	lines := []string{fmt.Sprintf("supervisor %d", os.Getpid())}
	for name, cmd := range s.running {
		lines = append(lines, fmt.Sprintf("%s %d", name, cmd.Process.Pid))
	}
	sort.Strings(lines)
	if err := os.WriteFile(".pids.new", []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		log.Print(err)
		return
	}
	if err := os.Rename(".pids.new", "pids"); err != nil {
		log.Print(err)
	}
}

func accept(listener net.Listener, requests chan<- request) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err == nil {
			r := request{strings.Fields(line), make(chan string)}
			requests <- r
			fmt.Fprintln(conn, <-r.reply)
			close(r.reply)
		}
		conn.Close()
	}
}

// watchOwner returns a channel that closes when the process ends; nil, which is never ready, when
// there is no owner.
func watchOwner(pid int) (<-chan struct{}, error) {
	if pid == 0 {
		return nil, nil
	}
	gone := make(chan struct{})
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		close(gone)
		return gone, nil
	}
	if err != nil {
		return nil, fmt.Errorf("owner %d: %w", pid, err)
	}
	go func() {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		for {
			if n, err := unix.Poll(fds, -1); n > 0 || (err != nil && err != unix.EINTR) {
				close(gone)
				return
			}
		}
	}()
	return gone, nil
}
