/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options of crun-criu, as runc and crun spell them. */
#include "runtime/rt.h"

#include <string.h>

#define IN(member) offsetof(struct rt_options, member)
#define C(member) IN(choices.member)
#define CP RT_CHECKPOINT
#define RS RT_RESTORE
#define BOTH (RT_CHECKPOINT | RT_RESTORE)
#define G RT_GLOBAL

static int set_empty_ns(void *target, const struct opt *opt, const char *value, struct err *err)
{
	struct rt_options *o = target;

	if (strcmp(value, "network") != 0)
		return err_usage(err, "--%s: only 'network' can be left empty, found '%s'",
				 opt->name, value);
	o->choices.netns = OCI_NETNS_EMPTY;
	return 0;
}

#define FLAG(n, v, member, text)                                                        \
	{                                                                               \
		.name = n, .type = OPT_FLAG, .verbs = v, .offset = member, .help = text \
	}
#define TEXT(n, l, v, word, member, text)                                              \
	{                                                                              \
		.name = n, .letter = l, .type = OPT_STRING, .verbs = v, .value = word, \
		.offset = member, .help = text                                         \
	}
#define NOTHING(n, v, word)                                               \
	{                                                                 \
		.name = n, .type = OPT_NOTHING, .verbs = v, .value = word \
	}
#define LATER(n, v, word)                                               \
	{                                                               \
		.name = n, .type = OPT_LATER, .verbs = v, .value = word \
	}

/* clang-format off */
static const struct opt global[] = {
	TEXT("root", 0, G, "DIR", IN(root), "folder in which the runtime keeps its containers"),
	TEXT("runtime", 0, G, "PROGRAM", IN(runtime),
	     "the runtime of the containers (also $CRUN_CRIU_RUNTIME and /etc/crun-criu.conf)"),
	TEXT("log", 0, G, "FILE", IN(log), "write errors to FILE as well"),
	TEXT("log-format", 0, G, "FORMAT", IN(log_format), "text or json"),
	FLAG("systemd-cgroup", G, IN(systemd_cgroup), "cgroups are made by systemd"),
	FLAG("debug", G, IN(debug), NULL),
	{ .name = "help", .letter = 'h', .type = OPT_FLAG, .verbs = G, .offset = IN(help),
	  .help = "show this text" },
	NOTHING("log-level", G, "LEVEL"),
	NOTHING("cgroup-manager", G, "MANAGER"),
	NOTHING("rootless", G, "VALUE"),
	NOTHING("criu", G, "PROGRAM"),
};

static const struct opt verb[] = {
	TEXT("image-path", 0, BOTH, "DIR", C(image_path), "folder of the images (checkpoint)"),
	TEXT("work-path", 0, BOTH, "DIR", C(work_path), "folder of logs and statistics (that of the images)"),
	TEXT("parent-path", 0, BOTH, "DIR", C(parent_path),
	     "images of an earlier --pre-dump, relative to those made now"),
	FLAG("pre-dump", CP, IN(pre_dump), "write only the memory, and let the container run on"),
	FLAG("leave-running", CP, C(leave_running), "let the container run on afterwards"),
	FLAG("file-locks", BOTH, C(file_locks), "keep file locks"),
	FLAG("tcp-established", BOTH, C(tcp_established), "keep open TCP connections"),
	FLAG("tcp-close", BOTH, C(tcp_close), "close TCP connections"),
	FLAG("tcp-skip-in-flight", CP, C(tcp_skip_in_flight), "leave connections that are being made out"),
	FLAG("ext-unix-sk", BOTH, C(ext_unix_sk), "keep unix sockets that are connected to the outside"),
	FLAG("shell-job", BOTH, C(shell_job), "the container shares its terminal with a shell"),
	FLAG("link-remap", BOTH, C(link_remap), "give deleted files a temporary name on disk"),
	FLAG("auto-dedup", BOTH, C(auto_dedup), "drop memory from older images when newer ones have it"),
	FLAG("lazy-pages", BOTH, C(lazy_pages), "move memory after the restore, on demand"),
	{ .name = "ghost-limit", .type = OPT_SIZE, .verbs = BOTH, .value = "SIZE",
	  .offset = C(ghost_limit_bytes), .help = "keep deleted files up to SIZE in the images (1M)" },
	TEXT("manage-cgroups-mode", 0, BOTH, "MODE", C(manage_cgroups_mode),
	     "soft (default), full, strict, props, none or ignore"),
	TEXT("network-lock", 0, BOTH, "METHOD", C(network_lock),
	     "how the network is held: iptables, nftables or skip"),
	{ .name = "empty-ns", .type = OPT_CALL, .verbs = BOTH, .value = "network", .set = set_empty_ns,
	  .help = "restore the network namespace empty" },
	LATER("page-server", BOTH, "ADDRESS:PORT"),
	NOTHING("status-fd", BOTH, "FD"),

	TEXT("bundle", 'b', RS, "DIR", C(bundle), "folder of config.json (the current one)"),
	{ .name = "detach", .letter = 'd', .type = OPT_FLAG, .verbs = RS, .offset = C(detach),
	  .help = "return when the container runs" },
	TEXT("pid-file", 0, RS, "FILE", C(pid_file), "write the pid of the container's first process to FILE"),
	TEXT("console-socket", 0, RS, "SOCKET", C(console_socket),
	     "socket that takes the other end of the container's terminal"),
	TEXT("lsm-profile", 0, RS, "TYPE:NAME", C(lsm_profile), "security profile for restored tasks"),
	TEXT("lsm-mount-context", 0, RS, "CONTEXT", C(lsm_mount_context), "SELinux context for restored mounts"),
	FLAG("no-subreaper", RS, IN(no_subreaper), "do not become the parent of orphans"),
	NOTHING("no-pivot", RS, NULL),
	NOTHING("no-new-keyring", RS, NULL),

	FLAG("json", RT_PLAN, IN(json), "print JSON"),
	FLAG("restore", RT_PLAN, IN(plan_restore), "plan a restore from the images, not a checkpoint"),
	{ .name = "help", .letter = 'h', .type = OPT_FLAG, .verbs = BOTH | RT_PLAN, .offset = IN(help),
	  .help = "show this text" },
};
/* clang-format on */

const struct opt_table rt_global_options = {
	.v = global,
	.n = sizeof(global) / sizeof(global[0]),
	.program = "crun-criu",
	.stop_at_word = true,
};

const struct opt_table rt_verb_options = {
	.v = verb,
	.n = sizeof(verb) / sizeof(verb[0]),
	.program = "crun-criu",
};
