/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/stats.h"

#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/core/dump.h"
#include "engine/core/restore.h"
#include "proto/stats.pb-c.h"

static uint32_t us_between(const struct timespec *a, const struct timespec *b)
{
	return (uint32_t)((b->tv_sec - a->tv_sec) * 1000000 + (b->tv_nsec - a->tv_nsec) / 1000);
}

static void write_stats(int dirfd, const char *name, const StatsEntry *e, const struct log *log)
{
	const uint32_t magics[2] = { 0x55105940, 0x57093306 };
	cleanup_fd int fd =
		openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	cleanup_buf struct buf b = BUF_INIT;
	uint32_t len = (uint32_t)stats_entry__get_packed_size(e);

	if (fd < 0 || buf_append(&b, magics, sizeof(magics)) < 0 ||
	    buf_append(&b, &len, sizeof(len)) < 0 || buf_reserve(&b, len) < 0) {
		log_warn(log, "statistics cannot be written to '%s', ignoring", name);
		return;
	}
	stats_entry__pack(e, (uint8_t *)b.data + b.len);
	if (io_write_all(fd, b.data, b.len + len) < 0)
		log_warn(log, "statistics cannot be written to '%s', ignoring", name);
}

static void show_dump(const DumpStatsEntry *s, const struct log *log)
{
	log_write(log, LOG_MSG, __FILE__, __LINE__,
		  "dump statistics: %u us to stop the tree, %u us stopped; memory: %u us, %u us of "
		  "them writing; %lu pages looked at, %lu written; shared memory: %lu and %lu",
		  s->freezing_time, s->frozen_time, s->memdump_time, s->memwrite_time,
		  s->pages_scanned, s->pages_written, s->shpages_scanned, s->shpages_written);
}

static void show_restore(const RestoreStatsEntry *s, const struct log *log)
{
	log_write(log, LOG_MSG, __FILE__, __LINE__,
		  "restore statistics: %u us, %u us of them until all tasks were forked; %lu pages "
		  "restored; of %lu pages compared with those of the parent, %lu are shared",
		  s->restore_time, s->forking_time, s->pages_restored, s->pages_compared,
		  s->pages_skipped_cow);
}

void stats_write_dump(struct dump *d)
{
	StatsEntry e = STATS_ENTRY__INIT;
	DumpStatsEntry s = DUMP_STATS_ENTRY__INIT;

	s.freezing_time = us_between(&d->times.freeze_start, &d->times.frozen);
	s.frozen_time = us_between(&d->times.frozen, &d->times.thawed);
	s.memdump_time = us_between(&d->times.pages_start, &d->times.pages_end);
	s.memwrite_time = (uint32_t)(d->times.writing_ns / 1000);
	s.pages_scanned = d->pages_scanned - d->shared_pages_scanned;
	s.pages_written = d->pages_written - d->shared_pages_written;
	s.has_shpages_scanned = s.has_shpages_written = s.has_shpages_skipped_parent = true;
	s.shpages_scanned = d->shared_pages_scanned;
	s.shpages_written = d->shared_pages_written;
	e.dump = &s;
	write_stats(d->work_fd, "stats-dump", &e, d->log);
	if (d->opts->display_stats)
		show_dump(&s, d->log);
}

void stats_write_restore(struct restore *r)
{
	StatsEntry e = STATS_ENTRY__INIT;
	RestoreStatsEntry s = RESTORE_STATS_ENTRY__INIT;

	s.forking_time = us_between(&r->times.start, &r->times.forked);
	s.restore_time = us_between(&r->times.start, &r->times.done);
	s.pages_compared = r->counts->compared;
	s.pages_skipped_cow = r->counts->equal;
	s.has_pages_restored = true;
	s.pages_restored = r->pages_restored - r->counts->equal;
	e.restore = &s;
	write_stats(r->work_fd, "stats-restore", &e, r->log);
	if (r->opts->display_stats)
		show_restore(&s, r->log);
}
