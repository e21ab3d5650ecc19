#!/bin/sh
# SPDX-License-Identifier: MIT
gic=2
. "$(dirname "$0")/arm64-boot.sh"
