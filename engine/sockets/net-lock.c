/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/sockets/net-lock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/base/cleanup.h"
#include "engine/base/io.h"

struct net_flow net_flow_of(int family, const uint32_t *src, unsigned int src_port,
			    const uint32_t *dst, unsigned int dst_port)
{
	struct net_flow f = { .family = family,
			      .src_port = (uint16_t)src_port,
			      .dst_port = (uint16_t)dst_port };
	size_t words = family == AF_INET6 ? 4 : 1;

	if (family == AF_INET6 && !dst[0] && !dst[1] && dst[2] == htonl(0xffff)) {
		f.family = AF_INET;
		f.src[0] = src[3];
		f.dst[0] = dst[3];
		return f;
	}
	memcpy(f.src, src, words * sizeof(*src));
	memcpy(f.dst, dst, words * sizeof(*dst));
	return f;
}

int net_lock_make_id(char ret[NET_LOCK_ID_SIZE], struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	int r = io_read_file(AT_FDCWD, "/proc/sys/kernel/random/uuid", &text);

	if (r < 0)
		return err_sys(err, r, "reading /proc/sys/kernel/random/uuid");
	snprintf(ret, NET_LOCK_ID_SIZE, "%.*s", (int)strcspn(text.data, "\n"), text.data);
	return 0;
}

/* ---- the rules ---- */

/* CRIU 4.2 cuts the name of its table off there, in a dump as in a restore. */
#define TABLE "CRIU-%.21s"

static int put_elements(struct buf *b, int family, const struct net_flows *flows)
{
	const struct net_flow *f;
	int r = 0;

	vec_foreach (f, &flows->list) {
		char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];

		if (f->family != family || r < 0)
			continue;
		inet_ntop(family, f->src, src, sizeof(src));
		inet_ntop(family, f->dst, dst, sizeof(dst));
		r = buf_printf(b, "%s%s . %u . %s . %u, %s . %u . %s . %u", b->len ? ", " : "", src,
			       f->src_port, dst, f->dst_port, dst, f->dst_port, src, f->src_port);
	}
	return r;
}

/* One transaction: the table with all connections in it, or nothing. */
int net_lock_nft_text(struct buf *b, const char *id, const struct net_flows *flows)
{
	static const struct {
		int family;
		const char *set, *type, *header;
	} kinds[] = { { AF_INET, "conns4", "ipv4_addr", "ip" },
		      { AF_INET6, "conns6", "ipv6_addr", "ip6" } };
	static const char *const hooks[] = { "input", "output" };
	int r = buf_printf(b, "create table inet " TABLE "\n", id);

	for (size_t i = 0; i < 2 && r >= 0; i++) {
		cleanup_buf struct buf list = BUF_INIT;

		r = put_elements(&list, kinds[i].family, flows);
		if (r >= 0)
			r = buf_printf(b,
				       "add set inet " TABLE " %s { type %s . inet_service . %s . "
				       "inet_service; }\n",
				       id, kinds[i].set, kinds[i].type, kinds[i].type);
		/* no list may be empty */
		if (r >= 0 && list.len)
			r = buf_printf(b, "add element inet " TABLE " %s { %s }\n", id,
				       kinds[i].set, list.data);
	}
	for (size_t i = 0; i < 2 && r >= 0; i++) {
		r = buf_printf(b,
			       "add chain inet " TABLE " %s { type filter hook %s priority 0; }\n"
			       "add rule inet " TABLE " %s meta mark %#x accept\n",
			       id, hooks[i], hooks[i], id, hooks[i], NET_LOCK_MARK);
		for (size_t k = 0; k < 2 && r >= 0; k++)
			r = buf_printf(
				b,
				"add rule inet " TABLE " %s %s saddr . tcp sport . %s daddr . tcp "
				"dport @%s drop\n",
				id, hooks[i], kinds[k].header, kinds[k].header, kinds[k].set);
	}
	return r;
}

static int put_rule(struct buf *b, const char *chain, bool add, int family, const uint32_t *src,
		    unsigned int src_port, const uint32_t *dst, unsigned int dst_port)
{
	char s[INET6_ADDRSTRLEN], d[INET6_ADDRSTRLEN];

	inet_ntop(family, src, s, sizeof(s));
	inet_ntop(family, dst, d, sizeof(d));
	return buf_printf(
		b, "%s %s -p tcp -m mark ! --mark %#x -s %s --sport %u -d %s --dport %u -j DROP\n",
		add ? "-I" : "-D", chain, NET_LOCK_MARK, s, src_port, d, dst_port);
}

int net_lock_iptables_text(struct buf *b, int family, bool add, const struct net_flows *flows)
{
	cleanup_buf struct buf rules = BUF_INIT;
	const struct net_flow *f;
	int r = 0;

	vec_foreach (f, &flows->list) {
		if (f->family != family || r < 0)
			continue;
		r = put_rule(&rules, "INPUT", add, family, f->dst, f->dst_port, f->src,
			     f->src_port);
		if (r >= 0)
			r = put_rule(&rules, "OUTPUT", add, family, f->src, f->src_port, f->dst,
				     f->dst_port);
	}
	return r < 0 || !rules.len ? r : buf_printf(b, "*filter\n%sCOMMIT\n", rules.data);
}

/* ---- running the tools ---- */

static _Noreturn void become(const char *const argv[], int ns_fd, int input, int output)
{
	sigset_t none;

	/* it must not do its work after our death: a guardian undoes that then */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if ((ns_fd >= 0 && setns(ns_fd, CLONE_NEWNET) < 0) || dup2(input, 0) < 0 ||
	    dup2(output, 1) < 0 || dup2(output, 2) < 0)
		_exit(126);
	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
	execvp(argv[0], (char *const *)argv);
	_exit(127);
}

static int memory_file(const struct buf *content)
{
	cleanup_fd int fd = memfd_create("ckpt-rules", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = content ? io_write_all(fd, content->data, content->len) : 0;
	if (r < 0)
		return r;
	return lseek(fd, 0, SEEK_SET) < 0 ? -errno : take_fd(&fd);
}

/* What a tool has to say in its first line. */
static void first_line(int output, char *ret, size_t size)
{
	ssize_t n = pread(output, ret, size - 1, 0);

	ret[n > 0 ? n : 0] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
}

/* Files of memory on both ends: nothing can block or break, however much is said. */
static int run_tool(const char *const argv[], int ns_fd, const struct buf *text, struct err *err)
{
	cleanup_fd int input = memory_file(text), output = memory_file(NULL);
	char said[200];
	int status = 0;
	pid_t pid;

	if (input < 0 || output < 0)
		return err_sys(err, input < 0 ? input : output, "preparing input of %s", argv[0]);
	pid = fork();
	if (pid == 0)
		become(argv, ns_fd, input, output);
	if (pid < 0)
		return err_sys(err, -errno, "starting %s", argv[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return err_new(err, ERR_ENVIRONMENT, -ENOENT, "%s is not installed", argv[0]);
	first_line(output, said, sizeof(said));
	return err_new(err, ERR_ENVIRONMENT, -EIO, "%s failed (status 0x%x): %s", argv[0], status,
		       said);
}

static int run_nft(int ns_fd, const struct buf *text, struct err *err)
{
	const char *const argv[] = { "nft", "-f", "-", NULL };

	return run_tool(argv, ns_fd, text, err);
}

static int run_iptables(int ns_fd, bool add, const struct net_flows *flows, struct err *err)
{
	static const struct {
		int family;
		const char *tool;
	} kinds[] = { { AF_INET, "iptables-restore" }, { AF_INET6, "ip6tables-restore" } };
	int r = 0;

	for (size_t i = 0; i < 2 && r == 0; i++) {
		const char *const argv[] = { kinds[i].tool, "--noflush", "--wait", NULL };
		cleanup_buf struct buf text = BUF_INIT;

		if (net_lock_iptables_text(&text, kinds[i].family, add, flows) < 0)
			return err_nomem(err);
		if (text.len)
			r = run_tool(argv, ns_fd, &text, err);
	}
	return r;
}

/* One batch is all or nothing, so where a rule is gone each connection gets a batch of its own. */
static void delete_singly(int ns_fd, const struct net_flows *flows)
{
	const struct net_flow *f;

	vec_foreach (f, &flows->list) {
		struct net_flow copy = *f;
		struct net_flows one = { .list = { .v = &copy, .n = 1 } };
		struct err ignored = ERR_INIT;

		run_iptables(ns_fd, false, &one, &ignored);
	}
}

int net_unlock(int ns_fd, enum net_lock_method method, const char *id,
	       const struct net_flows *flows, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	struct err ignored = ERR_INIT;

	if (method == NET_LOCK_IPTABLES && run_iptables(ns_fd, false, flows, &ignored) < 0)
		delete_singly(ns_fd, flows);
	if (method != NET_LOCK_NFTABLES)
		return 0;
	/* adding what is there is no error, and deleting what is not would be one */
	if (buf_printf(&text, "add table inet " TABLE "\ndelete table inet " TABLE "\n", id, id) <
	    0)
		return err_nomem(err);
	return run_nft(ns_fd, &text, err);
}

static int lock_by_iptables(int ns_fd, const struct net_flows *flows, struct err *err)
{
	int r = run_iptables(ns_fd, true, flows, err);

	if (r < 0)
		delete_singly(ns_fd, flows);
	return r;
}

int net_lock(int ns_fd, enum ckpt_network_lock wanted, const char *id,
	     const struct net_flows *flows, enum net_lock_method *ret, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	int r = -EINVAL;

	*ret = NET_LOCK_SKIP;
	if (wanted == CKPT_LOCK_SKIP)
		return 0;
	if (net_lock_nft_text(&text, id, flows) < 0)
		return err_nomem(err);
	if (wanted != CKPT_LOCK_IPTABLES) {
		r = run_nft(ns_fd, &text, err);
		*ret = NET_LOCK_NFTABLES;
	}
	if (r < 0 && wanted != CKPT_LOCK_NFTABLES) {
		r = lock_by_iptables(ns_fd, flows, err);
		*ret = NET_LOCK_IPTABLES;
	}
	if (r == 0)
		return 0;
	err_wrap(err, r, "cutting off TCP connections");
	err_hint(err,
		 "install nftables or iptables; or, where nobody can send to these connections, "
		 "use --network-lock skip");
	return r;
}
