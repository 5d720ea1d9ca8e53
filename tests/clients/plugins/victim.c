/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Holds what only a plugin understands: victim FOLDER [file=PATH] [unix=PATH] [map=PATH]
 *[root=DIR]. It makes FOLDER/ready, and on SIGUSR1 looks at what it has and writes what it finds to
 *FOLDER/result.
 *
 *	file	a device, opened
 *	unix	a stream socket that is connected to this address
 *	map	a device, its first page mapped shared
 *	net	a network namespace of its own
 *	root	it lives there, in a mount namespace of its own; DIR/data is what lies in
 *DIR.outside, and FOLDER is the new root
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static int device = -1, sk = -1;
static const char *folder;
static bool inside;
static const unsigned char *mapped;
static volatile sig_atomic_t asked;

static void on_signal(int sig)
{
	asked = 1;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void enter(const char *root)
{
	char data[256], outside[256];

	snprintf(data, sizeof(data), "%s/data", root);
	snprintf(outside, sizeof(outside), "%s.outside", root);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(root, root, NULL, MS_BIND, NULL) < 0 ||
	    mount(outside, data, NULL, MS_BIND, NULL) < 0)
		die("mount");
	if (chdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
	    umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		die("pivot_root");
}

static void connect_to(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	sk = socket(AF_UNIX, SOCK_STREAM, 0);
	if (connect(sk, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		die("connect");
}

static void take(const char *arg)
{
	int fd;

	if (strncmp(arg, "file=", 5) == 0) {
		device = open(arg + 5, O_RDWR);
		if (device < 0)
			die(arg);
	} else if (strncmp(arg, "unix=", 5) == 0) {
		connect_to(arg + 5);
	} else if (strncmp(arg, "map=", 4) == 0) {
		fd = open(arg + 4, O_RDWR);
		mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		close(fd);
		if (mapped == MAP_FAILED)
			die(arg);
	} else if (strcmp(arg, "net") == 0) {
		if (unshare(CLONE_NEWNET) < 0)
			die(arg);
	} else if (strncmp(arg, "root=", 5) == 0) {
		enter(arg + 5);
		/* again from inside: the program is a file of the new root now */
		execl("/victim", "/victim", "", "inside", NULL);
		die("/victim");
	} else {
		inside = true;
	}
}

static void leave(const char *name, const char *text)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		exit(2);
	close(fd);
}

/* The kinds that were asked for, each with a sign of life. */
static void look(void)
{
	char text[512] = "", link[200], byte = 'x';
	struct stat st;
	ssize_t n;
	int fd;

	if (device >= 0) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", device);
		n = fstat(device, &st) < 0 ? -1 : 0;
		sprintf(text + strlen(text), "file %d:%d ", n < 0 ? -1 : (int)(st.st_rdev >> 8),
			(int)(st.st_rdev & 255));
	}
	if (sk >= 0) {
		n = write(sk, &byte, 1) == 1 ? read(sk, &byte, 1) : -1;
		sprintf(text + strlen(text), "unix %s ",
			n == 1 && byte == 'y' ? "answers" : "is dumb");
	}
	if (mapped)
		sprintf(text + strlen(text), "map %c ", mapped[0]);
	if (inside) {
		fd = open("/data/file", O_RDONLY | O_CLOEXEC);
		n = fd < 0 ? 0 : read(fd, link, sizeof(link) - 1);
		link[n > 0 ? n : 0] = '\0';
		close(fd);
		sprintf(text + strlen(text), "data '%s' ", link);
	}
	leave("result.new", text);
	snprintf(link, sizeof(link), "%s/result", folder);
	snprintf(text, sizeof(text), "%s/result.new", folder);
	if (rename(text, link) < 0)
		exit(2);
}

int main(int argc, char **argv)
{
	sigset_t mask, old;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), i;

	if (argc < 2)
		return 2;
	folder = argv[1];
	for (i = 2; i < argc; i++)
		take(argv[i]);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	sigprocmask(SIG_BLOCK, &mask, &old);
	signal(SIGUSR1, on_signal);
	setsid();
	if (inside) {
		close(null);
		null = open("/null", O_RDWR | O_CREAT, 0600); /* the device is not inside */
	}
	for (i = 0; i < 3; i++)
		dup2(null, i);
	close(null);
	leave("ready", "");
	for (;;) {
		sigsuspend(&old);
		if (asked)
			look();
		asked = 0;
	}
}
