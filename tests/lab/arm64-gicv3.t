#!/bin/sh
# SPDX-License-Identifier: MIT
gic=3
. "$(dirname "$0")/arm64-boot.sh"
