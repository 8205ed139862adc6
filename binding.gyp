{
  'variables': {
    # node-gyp rebuild -- -Dsanitize=address,undefined
    'sanitize%': '',
  },
  'targets': [
    {
      'target_name': 'ipvs_proxier',
      'sources': [
        'native/addon/addon.cc',
        'native/addon/netns.cc',
        'native/session/session.cc',
        'native/session/dump.cc',
        'native/netlink/socket.cc',
        'native/netlink/exchange.cc',
        'native/netlink/family.cc',
        'native/ipvs/codec.cc',
        'native/ipvs/table_text.cc',
        'native/ipvs/readback.cc',
        'native/ipset/codec.cc',
        'native/route/codec.cc',
        'native/route/local_route.cc',
        'native/session/monitor.cc',
        'native/conntrack/codec.cc',
      ],
      'include_dirs': ['.'],
      'defines': [
        'NAPI_VERSION=9',
        'NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS',
        'NODE_ADDON_API_DISABLE_DEPRECATED',
        'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
      ],
      'cflags': ['-fvisibility=hidden', '-fstack-protector-strong', '-fstack-clash-protection', '-O2'],
      'cflags_cc!': ['-std=gnu++17', '-fno-rtti'],
      'cflags_cc': [
        '-std=c++20',
        '-fno-exceptions',
        '-fvisibility-inlines-hidden',
        '-Wall',
        '-Wextra',
        '-Wshadow',
        '-Wconversion',
        "<!@(node -p \"'-isystem ' + path.dirname(require.resolve('node-addon-api/package.json'))\")",
        '<!@(node scripts/libnl.mjs cflags)',
      ],
      'libraries': ['<!@(node scripts/libnl.mjs libs)'],
      'ldflags': [
        '-Wl,-z,relro,-z,now',
        '-Wl,-z,noexecstack',
        '-Wl,--as-needed',
        '-Wl,--exclude-libs,ALL',
      ],
      'conditions': [
        ['target_arch=="x64"', {'cflags': ['-fcf-protection']}],
        ['target_arch=="arm64"', {'cflags': ['-mbranch-protection=standard']}],
        ['sanitize==""', {'defines': ['_FORTIFY_SOURCE=2']}],
        ['sanitize!=""', {
          'cflags': ['-fsanitize=<(sanitize)', '-fno-omit-frame-pointer', '-g'],
          'ldflags': ['-fsanitize=<(sanitize)'],
        }],
      ],
    },
  ],
}
