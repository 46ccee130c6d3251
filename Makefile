# The habits people have, over meson. See docs/HACKING.md.
#
#   make                            build/legatus, which finds its plugins there
#   make install DESTDIR= PREFIX=   program, plugins, plugin.h, man page
#   make check                      all tests (./check)
#   PKG_CONFIG_PATH=/opt/glusterfs/lib/pkgconfig/ UWSGI_PROFILE=glusterfs make
#                                   against that GlusterFS, the plugin required
#
# SPDX-License-Identifier: Apache-2.0
BUILD  ?= build
PREFIX ?= /usr/local
MESON  ?= meson
export PKG_CONFIG_PATH

# uWSGI's profile of that name is the only one with a meaning here.
glusterfs := $(if $(filter glusterfs,$(UWSGI_PROFILE)),enabled,auto)
empty :=
space := $(empty) $(empty)
# meson keeps the path it was first set up with; handed over as an option, a
# changed one takes effect.
options = --prefix='$(PREFIX)' --libdir=lib -Dglusterfs=$(glusterfs) \
	-Dpkg_config_path='$(subst $(space),$(empty),$(subst :,$(comma),$(PKG_CONFIG_PATH)))'
comma := ,

.PHONY: all install check clean configure
all: configure
	ninja -C $(BUILD)

# Set up once, and again whenever the options differ from last time's.
configure:
	@test -f $(BUILD)/build.ninja && test "$$(cat $(BUILD)/.options 2>/dev/null)" = "$(options)" || { \
		if test -f $(BUILD)/build.ninja; then again=--reconfigure; fi; \
		$(MESON) setup $$again $(BUILD) $(options) && printf '%s' "$(options)" >$(BUILD)/.options; }

install: all
	DESTDIR='$(DESTDIR)' $(MESON) install -C $(BUILD) --no-rebuild

check:
	./check

clean:
	rm -rf $(BUILD)
