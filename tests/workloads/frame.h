/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between main.c and lib.c; workloads do not include this. */
#pragma once

/* The folder for the files of the workload. */
const char *frame_dir(void);

/* Kills and reaps every child that child_start() made. */
void children_kill(void);

/* In a child: closes the descriptors of the frame, which only the first process answers for. */
void frame_in_child(void);
