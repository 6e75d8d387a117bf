# Gathers facts. In: collectors (their names), fact_path. Out: facts (by name, without `ansible_`), warnings.
# What asks WMI is left to administrators: others wait some five seconds there for a refusal.
$facts = @{}
$warnings = @()
$me = [Security.Principal.WindowsIdentity]::GetCurrent()
$principal = New-Object Security.Principal.WindowsPrincipal $me
$admin = $principal.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)
$culture = [Globalization.CultureInfo]::InvariantCulture

function value($key, $name) {
    return [Microsoft.Win32.Registry]::GetValue('HKEY_LOCAL_MACHINE\' + $key, $name, $null)
}

$collect = @{}
$collect['all_ipv4_addresses'] = {
    $found = @()
    foreach ($each in [Net.NetworkInformation.NetworkInterface]::GetAllNetworkInterfaces()) {
        foreach ($unicast in $each.GetIPProperties().UnicastAddresses) {
            $address = $unicast.Address.ToString()
            if ($address -ne '127.0.0.1' -and $address -ne '::1') { $found += $address }
        }
    }
    $facts['ip_addresses'] = $found
}
$collect['bios'] = {
    $key = 'HARDWARE\DESCRIPTION\System\BIOS'
    $facts['bios_date'] = value $key 'BIOSReleaseDate'
    $facts['bios_version'] = value $key 'BIOSVersion'
    $facts['product_name'] = value $key 'SystemProductName'
    if ($admin) {
        $facts['product_serial'] = [string](Get-CimInstance -ClassName Win32_BIOS).SerialNumber
        $facts['product_uuid'] = [string](Get-CimInstance -ClassName Win32_ComputerSystemProduct).UUID
    }
}
$collect['date_time'] = {
    $here = [DateTime]::Now
    $utc = $here.ToUniversalTime()
    $zero = New-Object DateTime 1970, 1, 1, 0, 0, 0, ([DateTimeKind]::Utc)
    $epoch = [long][Math]::Floor(($utc - $zero).TotalSeconds)
    $local = $epoch + [long][TimeZoneInfo]::Local.GetUtcOffset($here).TotalSeconds
    $monday = ([int]$here.DayOfWeek + 6) % 7
    $facts['date_time'] = @{
        date = $here.ToString('yyyy-MM-dd', $culture)
        day = $here.ToString('dd', $culture)
        epoch = $epoch.ToString($culture)
        epoch_int = $epoch
        epoch_local = $local.ToString($culture)
        hour = $here.ToString('HH', $culture)
        iso8601 = $utc.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", $culture)
        iso8601_basic = $here.ToString("yyyyMMdd'T'HHmmssffffff", $culture)
        iso8601_basic_short = $here.ToString("yyyyMMdd'T'HHmmss", $culture)
        iso8601_micro = $utc.ToString("yyyy-MM-dd'T'HH:mm:ss.ffffff'Z'", $culture)
        minute = $here.ToString('mm', $culture)
        month = $here.ToString('MM', $culture)
        second = $here.ToString('ss', $culture)
        time = $here.ToString('HH:mm:ss', $culture)
        tz = [TimeZoneInfo]::Local.Id
        tz_offset = $here.ToString('zzz', $culture)
        weekday = $here.ToString('dddd', $culture)
        weekday_number = ([int]$here.DayOfWeek).ToString($culture)
        weeknumber = [Math]::Floor(($here.DayOfYear + 6 - $monday) / 7).ToString($culture)
        year = $here.ToString('yyyy', $culture)
    }
}
$collect['distribution'] = {
    $version = [Environment]::OSVersion.Version
    $facts['os_family'] = 'Windows'
    $facts['distribution'] = $null
    $facts['distribution_version'] = $version.ToString()
    $facts['distribution_major_version'] = $version.Major.ToString($culture)
    $facts['os_name'] = $null
    $facts['os_installation_type'] = value 'SOFTWARE\Microsoft\Windows NT\CurrentVersion' 'InstallationType'
    $facts['os_product_type'] = 'unknown'
    $kind = value 'SYSTEM\CurrentControlSet\Control\ProductOptions' 'ProductType'
    if ($kind -eq 'WinNT') { $facts['os_product_type'] = 'workstation' }
    if ($kind -eq 'LanmanNT') { $facts['os_product_type'] = 'domain_controller' }
    if ($kind -eq 'ServerNT') { $facts['os_product_type'] = 'server' }
    if ($admin) {
        $system = Get-CimInstance -ClassName Win32_OperatingSystem
        $facts['distribution'] = [string]$system.Caption
        $facts['os_name'] = ([string]$system.Name).Split('|')[0].Trim()
    }
}
$collect['env'] = {
    $found = @{}
    $variables = [Environment]::GetEnvironmentVariables()
    foreach ($name in $variables.Keys) { $found[[string]$name] = ([string]$variables[$name]).TrimEnd('\') }
    $facts['env'] = $found
}
$collect['interfaces'] = {
    $found = @()
    foreach ($each in [Net.NetworkInformation.NetworkInterface]::GetAllNetworkInterfaces()) {
        $kind = $each.NetworkInterfaceType.ToString()
        if ($kind -eq 'Loopback' -or $kind -eq 'Tunnel') { continue }
        $ip = $each.GetIPProperties()
        $four = $null
        $six = $null
        try { $four = $ip.GetIPv4Properties() } catch { }
        try { $six = $ip.GetIPv6Properties() } catch { }
        if ($null -eq $four -and $null -eq $six) { continue }
        $told = @{
            connection_name = $each.Name
            default_gateway = $null
            dns_domain = $null
            interface_index = $null
            interface_name = $each.Description
            ipv4 = $null
            ipv6 = $null
            macaddress = [BitConverter]::ToString($each.GetPhysicalAddress().GetAddressBytes()).Replace('-', ':')
            mtu = $null
            speed = $each.Speed / 1000000
        }
        foreach ($gateway in $ip.GatewayAddresses) {
            if ($null -eq $told['default_gateway']) { $told['default_gateway'] = $gateway.Address.ToString() }
        }
        if ($ip.DnsSuffix) { $told['dns_domain'] = $ip.DnsSuffix }
        if ($null -ne $six) { $told['interface_index'] = $six.Index }
        if ($null -ne $four) {
            $told['interface_index'] = $four.Index
            $told['mtu'] = $four.Mtu
        }
        $fours = @()
        $sixes = @()
        foreach ($unicast in $ip.UnicastAddresses) {
            $address = @{ address = $unicast.Address.ToString(); prefix = $unicast.PrefixLength.ToString($culture) }
            $family = $unicast.Address.AddressFamily.ToString()
            if ($family -eq 'InterNetwork') { $fours += $address }
            if ($family -eq 'InterNetworkV6') { $sixes += $address }
        }
        # As in ansible.windows: one address is no list.
        if ($fours.Count -eq 1) { $told['ipv4'] = $fours[0] }
        if ($fours.Count -gt 1) { $told['ipv4'] = $fours }
        if ($sixes.Count -eq 1) { $told['ipv6'] = $sixes[0] }
        if ($sixes.Count -gt 1) { $told['ipv6'] = $sixes }
        $found += $told
    }
    $facts['interfaces'] = $found
}
$collect['local'] = {
    if ($a.fact_path) {
        $folder = [Environment]::ExpandEnvironmentVariables($a.fact_path)
        if ([IO.Directory]::Exists($folder)) {
            foreach ($path in [IO.Directory]::GetFiles($folder)) {
                $name = [IO.Path]::GetFileNameWithoutExtension($path)
                $told = $null
                if ($path.EndsWith('.json')) { $told = ConvertFrom-Json ([IO.File]::ReadAllText($path)) }
                if ($path.EndsWith('.ps1')) { $told = & $path }
                # An array that a command gave as one would be written as an object (value, Count).
                if ($told -is [array]) { $told = @($told | ForEach-Object { $_ }) }
                if ($null -ne $told) { $facts[$name] = $told }
            }
        }
        else { throw ('Non existing path was set for local facts - ' + $folder) }
    }
}
$collect['memory'] = {
    Add-Type -AssemblyName Microsoft.VisualBasic
    $memory = New-Object Microsoft.VisualBasic.Devices.ComputerInfo
    $facts['memtotal_mb'] = [long][Math]::Ceiling($memory.TotalPhysicalMemory / 1048576)
    $facts['memfree_mb'] = [long][Math]::Ceiling($memory.AvailablePhysicalMemory / 1048576)
    $facts['swaptotal_mb'] = 0
    $facts['pagefiletotal_mb'] = $null
    $facts['pagefilefree_mb'] = $null
    if ($admin) {
        $system = Get-CimInstance -ClassName Win32_OperatingSystem
        $facts['pagefiletotal_mb'] = [long][Math]::Round($system.SizeStoredInPagingFiles / 1024)
        $facts['pagefilefree_mb'] = [long][Math]::Round($system.FreeSpaceInPagingFiles / 1024)
    }
}
$collect['platform'] = {
    $ip = [Net.NetworkInformation.IPGlobalProperties]::GetIPGlobalProperties()
    $name = $ip.HostName
    if ($ip.DomainName) { $name = $name + '.' + $ip.DomainName }
    $windows = [Environment]::OSVersion
    $facts['hostname'] = $ip.HostName
    $facts['fqdn'] = $name
    $facts['nodename'] = $name
    $facts['domain'] = $ip.DomainName
    $facts['netbios_name'] = [Environment]::MachineName
    $facts['kernel'] = $windows.Version.ToString()
    $facts['system'] = $windows.Platform.ToString()
    $facts['system_vendor'] = value 'HARDWARE\DESCRIPTION\System\BIOS' 'SystemManufacturer'
    $facts['system_description'] = [string](value 'SYSTEM\CurrentControlSet\Services\LanmanServer\Parameters' 'srvcomment')
    $facts['owner_name'] = [string](value 'SOFTWARE\Microsoft\Windows NT\CurrentVersion' 'RegisteredOwner')
    $facts['architecture'] = '32-bit'
    if ([Environment]::Is64BitOperatingSystem) { $facts['architecture'] = '64-bit' }
    $kind = $env:PROCESSOR_ARCHITEW6432
    if (-not $kind) { $kind = $env:PROCESSOR_ARCHITECTURE }
    $names = @{ AMD64 = 'x86_64'; x86 = 'i386'; ARM64 = 'arm64'; ARM = 'arm'; IA64 = 'ia64' }
    $facts['architecture2'] = 'unknown'
    if ($kind -and $names.ContainsKey($kind)) { $facts['architecture2'] = $names[$kind] }
    $pending = $false
    if (value 'SYSTEM\CurrentControlSet\Control\Session Manager' 'PendingFileRenameOperations') { $pending = $true }
    if (value 'SOFTWARE\Microsoft\ServerManager\ServicingStorage\ServerComponentCache' 'RestartRequired') { $pending = $true }
    if (Test-Path -LiteralPath 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending') {
        $pending = $true
    }
    $facts['reboot_pending'] = $pending
}
$collect['powershell_version'] = {
    $facts['powershell_version'] = $PSVersionTable.PSVersion.Major
}
$collect['processor'] = {
    $told = @()
    $number = 0
    while ($true) {
        $key = 'HARDWARE\DESCRIPTION\System\CentralProcessor\' + $number.ToString($culture)
        $vendor = value $key 'VendorIdentifier'
        $name = value $key 'ProcessorNameString'
        if ($null -eq $vendor -and $null -eq $name) { break }
        $told += $number.ToString($culture)
        $told += [string]$vendor
        $told += [string]$name
        $number = $number + 1
    }
    $facts['processor'] = $told
    $facts['processor_vcpus'] = [Environment]::ProcessorCount
    if ($admin) {
        $sockets = @(Get-CimInstance -ClassName Win32_Processor)
        $facts['processor_count'] = $sockets.Count
        $facts['processor_cores'] = [int]$sockets[0].NumberOfCores
        $facts['processor_threads_per_core'] = [int]($sockets[0].NumberOfLogicalProcessors / $sockets[0].NumberOfCores)
    }
}
$collect['uptime'] = {
    if ($admin) {
        $boot = (Get-CimInstance -ClassName Win32_OperatingSystem).LastBootUpTime
        $facts['lastboot'] = $boot.ToString('u', $culture)
        $facts['uptime_seconds'] = [long]([DateTime]::Now - $boot).TotalSeconds
    }
}
$collect['user'] = {
    $facts['user_id'] = $env:USERNAME
    $facts['user_sid'] = $me.User.Value
    $facts['user_dir'] = $env:USERPROFILE
    $facts['user_gecos'] = ''
}
$collect['windows_domain'] = {
    if ($admin) {
        $machine = Get-CimInstance -ClassName Win32_ComputerSystem
        $roles = @('Stand-alone workstation', 'Member workstation', 'Stand-alone server', 'Member server')
        $roles += @('Backup domain controller', 'Primary domain controller')
        $facts['windows_domain'] = [string]$machine.Domain
        $facts['windows_domain_member'] = [bool]$machine.PartOfDomain
        $facts['windows_domain_role'] = $roles[[int]$machine.DomainRole]
    }
}

foreach ($name in $a.collectors) {
    $what = $name
    if ($what -eq 'all_ipv6_addresses') { $what = 'all_ipv4_addresses' }
    if (-not $collect.ContainsKey($what)) { continue }
    try { $null = & $collect[$what] }
    catch { $warnings += ('Error when collecting ' + $name + ' facts: ' + $_.Exception.Message) }
}
answer @{ facts = $facts; warnings = $warnings }
