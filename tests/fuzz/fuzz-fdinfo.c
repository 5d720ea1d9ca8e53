/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/PID/fdinfo/N, as every kind of descriptor */
#include <assert.h>

#include "engine/base/proctext-fdinfo.h"
#include "tests/fuzz/fuzz.h"

static void lists(const struct proc_fdinfo *fi)
{
	struct proc_fanotify fan;
	struct proc_inotify in;
	struct proc_epoll ep;
	struct proc_lock lock;
	struct proc_line line;
	struct proc_cursor c;

	for (c = fi->rest; proc_line_next(&c, &line) > 0;)
		assert(line.key >= fi->rest.p && line.val + line.val_len <= fi->rest.end);
	for (c = fi->rest; proc_fdinfo_next_epoll(&c, &ep) > 0;)
		;
	for (c = fi->rest; proc_fdinfo_next_inotify(&c, &in) > 0;)
		assert(in.handle.n <= sizeof(in.handle.bytes));
	for (c = fi->rest; proc_fdinfo_next_fanotify(&c, &fan) > 0;)
		assert(fan.handle.n <= sizeof(fan.handle.bytes));
	for (c = fi->rest; proc_fdinfo_next_lock(&c, &lock) > 0;)
		;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proc_eventfd eventfd;
	struct proc_timerfd timerfd;
	struct proc_fdinfo fi;
	struct proc_pidfd pidfd;
	uint64_t mask;
	int64_t v;

	if (proc_fdinfo_parse((const char *)data, size, &fi) < 0)
		return 0;
	proc_fdinfo_eventfd(&fi, &eventfd);
	proc_fdinfo_signalfd(&fi, &mask);
	if (proc_fdinfo_timerfd(&fi, &timerfd) == 0)
		assert(timerfd.value_ns >= 0 && timerfd.value_ns < 1000000000);
	proc_fdinfo_pidfd(&fi, &pidfd);
	proc_fdinfo_int(&fi, "tty-index", &v);
	lists(&fi);
	return 0;
}
