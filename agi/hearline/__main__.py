from hearline.cli.app import main

main()
