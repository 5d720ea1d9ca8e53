/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stats-dump and stats-restore in the work directory. A failure to write them is only logged. */
#pragma once

struct dump;
struct restore;

void stats_write_dump(struct dump *d);
void stats_write_restore(struct restore *r);
