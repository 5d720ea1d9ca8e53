/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parts of the event workloads that `full fds=1` uses too. See events.c. */
#pragma once

#include "tests/workloads/workload.h"

int eventfd_setup(void);
int eventfd_verify(void);
int epoll_setup(void);
int epoll_verify(void);
int timerfd_setup(void);
int timerfd_verify(void);
/* To be called before other threads are made: its signals must stay pending. */
int signalfd_setup(void);
int signalfd_verify(void);
