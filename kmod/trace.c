// SPDX-License-Identifier: GPL-2.0
#include "client.h"
#include "slab.h"

#define CREATE_TRACE_POINTS
#include "trace.h"
